"""A step in parts is the step of the whole batch, to rounding."""

import json
import shutil
from contextlib import nullcontext

import pytest
import torch

from i2i.data import DataError
from i2i.engine import train
from i2i.engine.accumulate import play_in_parts
from i2i.engine.run_folder import Run
from i2i.engine.schedule import learning_rate, length
from i2i.engine.step import Move, play
from i2i.translators import TRANSLATORS
from tests.engine.comparison import differences
from tests.engine.conftest import TINY
from tests.translators.cases import batch, make

pytestmark = pytest.mark.usefixtures("one_thread")

ALONE = {
    "pix2pix": {"norm": "instance", "dropout": False},
    "cyclegan": {"pool": 0},
    "direct": {"pool": 0, "constraint": "r1"},
    "cut": {"patches": 10_000},  # all of them: the places are drawn for each part
}
"""Methods, and hyper-parameters with which nothing is drawn and no image depends on another of the batch."""


def moves_of(translator):
    return {name: Move(player) for name, player in translator.players().items()}


def doubled(views):
    return {name: view.double() if view.is_floating_point() else view for name, view in views.items()}


def numbers(terms):
    return {name: float(term) for name, term in terms.items()}


def close(ours, theirs):
    """True if two translators have the same weights and statistics, apart from biases, which a norm may cancel."""
    mine, other = ours.state_dict(), theirs.state_dict()
    keys = [k for k in other if not k.endswith(("bias", "_extra_state", "num_batches_tracked"))]
    return all(torch.allclose(mine[key], other[key], rtol=1e-7, atol=1e-9) for key in keys)


@pytest.mark.parametrize("method", TRANSLATORS)
def test_one_part_is_the_step_itself(method):
    """With everything drawn that a method draws: dropout, pools, latent inputs, places of patches."""
    whole, parted = make(method).double(), make(method).double()
    one, other, data = moves_of(whole), moves_of(parted), doubled(batch(method))
    for step in range(3):
        torch.manual_seed(step)
        expected = play(whole, one, data, step)
        after = torch.get_rng_state()
        torch.manual_seed(step)
        terms = play_in_parts(parted, other, data, 1, step, 1.0, nullcontext)
        assert numbers(terms) == pytest.approx(numbers(expected), rel=1e-9)
        assert torch.equal(torch.get_rng_state(), after)
    assert close(parted, whole)
    assert all(p.grad is None for p in parted.parameters())


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("method", ALONE)
def test_parts_are_the_step_of_the_whole_batch(method, inside, count):
    """Also of translations that are pasted into their sources by a mask."""
    whole, parted = make(method, **ALONE[method]).double(), make(method, **ALONE[method]).double()
    size = 16 if method == "cut" else 32  # all of its patches are compared with each other
    one, other, data = moves_of(whole), moves_of(parted), doubled(batch(method, n=4, size=size))
    if inside:
        mask = torch.zeros(4, 1, size, size, dtype=torch.float64)
        mask[..., 8:24, 4:28] = 1
        data |= {"mask": mask, "mask_y": mask.flip(3)}
    for step in range(3):
        expected = play(whole, one, data, step)
        terms = play_in_parts(parted, other, data, count, step, 1.0, nullcontext)
        assert numbers(terms) == pytest.approx(numbers(expected), rel=1e-9)
    assert close(parted, whole)


def test_a_later_player_sees_the_views_from_before_the_step():
    """CycleGAN's generators move first; its discriminators judge the images of the weights before."""
    made, data = make("cyclegan", pool=0).double(), doubled(batch("cyclegan"))
    first = made.G(data["x"]).detach()
    judged = []
    made.D_Y.register_forward_pre_hook(lambda module, given: judged.append(given[0].detach().clone()))
    play_in_parts(made, moves_of(made), data, 2, 0, 1.0, nullcontext)
    assert len(judged) == 4  # once for each player and part: the critic with the real image, in one pass
    assert all(torch.allclose(judged[i][-1], first[i % 2], atol=1e-12) for i in range(4))
    assert torch.equal(judged[2][0], data["y"][0])


def test_a_player_skips_by_the_mean_of_all_parts():
    made = make("pix2pix", balance=0.5)
    moves = moves_of(made)
    before = {name: p.clone() for name, p in made.named_parameters()}
    seen = []
    moves["D"].player = moves["D"].player.__class__(
        made.D, made.discriminator_loss, skip=lambda terms: seen.append(terms["gan"]) or torch.tensor(True)
    )
    play_in_parts(made, moves, batch("pix2pix", n=4), 2, 0, 1.0, nullcontext)
    assert len(seen) == 1
    assert all(torch.equal(p, before[name]) == name.startswith("D.") for name, p in made.named_parameters())
    assert all(p.grad is None for p in made.parameters())


def test_a_run_counts_the_images_of_all_parts(folders, tmp_path):
    """Positions in the data, the schedule and the log are those of the batch that is so many times as large."""
    options = TINY["direct"] | folders["direct"] | {"pool": 0, "precision": "fp64", "log_every": 1}
    options |= {"diff_augment": "none", "sample_every": 0}
    runs = [
        train("direct", **options | how, epochs=4, out=tmp_path / name, quiet=True)
        for name, how in (("whole", {"batch": 4}), ("parts", {"batch": 1, "accumulate": 4}))
    ]
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in runs]
    named = {"step", "rate", "G/gan", "D/gan"}
    for one, other in zip(*logs, strict=True):
        assert {k: one[k] for k in named} == pytest.approx({k: other[k] for k in named}, rel=1e-6)
    settings = Run.open(None, runs[1], {}).settings
    assert (settings.images, length(settings, 8)) == (4, (8, 2))
    assert learning_rate(7, settings, 8) == learning_rate(7, Run.open(None, runs[0], {}).settings, 8)


def test_a_run_in_parts_resumes_exactly(folders, tmp_path):
    options = TINY["cyclegan"] | folders["cyclegan"] | {"accumulate": 2, "save_every": 3, "sample_every": 0}
    unbroken = train("cyclegan", **options, steps=6, out=tmp_path / "unbroken", quiet=True)
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)
    (run / "state" / "000000006.pt").unlink()
    (run / "run.json").write_text((run / "run.json").read_text().replace("finished", "running"))
    train("cyclegan", **options, steps=6, out=run, quiet=True)
    states = [torch.load(r / "state" / "000000006.pt", weights_only=True)["game"] for r in (run, unbroken)]
    assert not list(differences(*states))


def test_bad_numbers_of_parts(folders, tmp_path):
    options = TINY["pix2pix"] | folders["pix2pix"]
    for wrong, words in ((0, "accumulate is 0; it must be at least 1"), ("two", "accumulate is 'two'; expected a num")):
        with pytest.raises(ValueError, match=words):
            train("pix2pix", **options, accumulate=wrong, out=tmp_path / "run")
    options = TINY["dcgan"] | folders["dcgan"] | {"batch": 3}
    with pytest.raises(DataError, match=r"7 images for batches of 12; add images, or --batch 1$"):
        train("dcgan", **options, accumulate=4, out=tmp_path / "run", quiet=True)
    with pytest.raises(DataError, match=r"7 images for batches of 27; add images, or --accumulate 7 --batch 1$"):
        train("dcgan", **options, accumulate=9, out=tmp_path / "run", quiet=True)
