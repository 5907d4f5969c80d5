"""The energy-based model: chains and losses against sums written out, its pool, and a run of it."""

import numpy as np
import pytest
import torch
from PIL import Image

from i2i import export
from i2i.engine import load_translator, train
from i2i.translators.energy import LONGEST, Energy, Pool

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"height": 8, "width": 16, "ndf": 2, "langevin": 3, "pool": 4}


def made(**options):
    torch.manual_seed(0)
    return Energy(1, 1, **(SMALL | {"clip": 0.0} | options))


class Parabola(torch.nn.Module):
    """Score -(x - 1/2)^2 / 2, summed over the pixels: its slope is 1/2 - x."""

    def forward(self, x):
        return -(x - 0.5).square().flatten(1).sum(1) / 2


def test_a_chain_ascends_the_score_in_units_of_pixels_from_0_to_1():
    x = torch.full((2, 1, 8, 16), -0.5)
    # v = (x + 1) / 2 is 1/4, and the slope of the score of 2 v - 1 at v is 2 (1/2 - x) = 2 (3/2 - 2 v) = 2
    one = made(step_size=0.02, noise=0.0).chain(Parabola(), x, steps=1)
    assert torch.allclose((one + 1) / 2, torch.tensor(0.25 + 0.02 * 2))
    two = made(step_size=0.02, noise=0.0).chain(Parabola(), x, steps=2)
    assert torch.allclose((two + 1) / 2, torch.tensor(0.29 + 0.02 * 2 * (1.5 - 2 * 0.29)))
    assert not two.requires_grad
    far = made(step_size=1000.0, noise=0.0).chain(Parabola(), x, steps=1)
    assert torch.equal(far, torch.ones_like(x))
    noisy = made(step_size=0.0, noise=0.01).chain(Parabola(), torch.zeros(50, 1, 8, 16), steps=4)
    assert ((noisy + 1) / 2).std().item() == pytest.approx(0.02, rel=0.05)  # 0.01 times the root of 4


def test_a_value_of_the_slope_counts_no_more_than_the_clip():
    x = torch.tensor([-1.0, -0.5, 0.5, 0.9]).expand(1, 1, 8, 4)
    slope = 2 * (0.5 - x)  # at pixels from 0 to 1
    found = made(step_size=0.05, noise=0.0, clip=0.9).chain(Parabola(), x, steps=1)
    assert torch.allclose(found, x + 2 * 0.05 * slope.clamp(-0.9, 0.9))
    with pytest.raises(ValueError, match="clip is -1"):
        made(clip=-1.0)


def test_the_loss_is_the_papers():
    t = made(alpha=0.5)
    t.D = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 1, bias=False))
    torch.nn.init.ones_(t.D[1].weight)
    x, fake = torch.zeros(2, 1, 8, 16), torch.zeros(2, 1, 8, 16)
    x[0, 0, 0, 0], x[1, 0, 0, 0], fake[0, 0, 0, 0] = 1, 3, -1  # scores 1, 3 and -1, 0
    terms = t.discriminator_loss({"x": x, "x~": fake})
    assert {name: term.item() for name, term in terms.items()} == {"gan": -0.5 - 2, "l2": 0.5 * (5 + 0.5)}


def test_chains_start_in_the_pool_and_return_to_it(monkeypatch):
    t = made(fresh=0.0, langevin=1, step_size=0.0, noise=0.0)
    x = torch.zeros(2, 1, 8, 16)
    first = t({"x": x})["x~"]
    assert torch.allclose(torch.stack(t.pool.images) / 127.5 - 1, first, atol=1 / 255 + 1e-6)
    again = t({"x": x})["x~"]
    past = torch.stack(t.pool.images[:2]) / 127.5 - 1
    assert all((again[i] == past).flatten(1).all(1).any() for i in range(2))
    for _ in range(3):
        t({"x": x})
    assert len(t.pool.images) == 4
    assert not t({"x": x})["x~"].requires_grad


def test_a_share_of_the_chains_is_fresh():
    pool = Pool(10, fresh=0.25)
    like = torch.zeros(2000, 1, 1, 2)
    noise = pool.draw(like)  # empty: all of it
    assert noise.abs().max() <= 1
    assert noise.std().item() == pytest.approx(1 / 3**0.5, rel=0.05)
    pool.keep(torch.ones(1, 1, 1, 2))
    drawn = pool.draw(like)
    assert (drawn == 1).flatten(1).all(1).float().mean().item() == pytest.approx(0.75, abs=0.04)


def test_the_pool_is_state_and_can_be_off():
    pool, other = Pool(3, 0.0), Pool(3, 0.0)
    pool.keep(torch.rand(5, 1, 2, 2) * 2 - 1)
    other.load_state_dict(pool.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(pool.images, other.images, strict=True))
    other.load_state_dict(Pool(3, 0.0).state_dict())
    assert other.images == []
    off = Pool(0, 0.0)
    off.keep(torch.ones(2, 1, 2, 2))
    assert off.images == []
    with pytest.raises(ValueError, match="pool is -1"):
        Pool(-1, 0.0)
    with pytest.raises(ValueError, match="at least one step"):
        made(langevin=0)


def test_a_sample_is_that_of_its_seed():
    t = made()
    together, shifted = t.sample(3, seed=4), t.sample(2, seed=5)
    assert together.shape == (3, 1, 8, 16)
    assert torch.allclose(together[1:], shifted, atol=1e-6)
    assert not torch.allclose(together[0], together[1])
    long = round(t.langevin / t.pool.fresh)  # as a chain of the pool
    assert torch.allclose(t.sample(1, seed=4, steps=long), together[:1], atol=1e-6)
    assert not torch.allclose(t.sample(1, seed=4, steps=t.langevin), together[:1])
    t.pool.fresh = 0.0
    assert torch.allclose(t.sample(1, steps=LONGEST * t.langevin), t.sample(1), atol=1e-6)


def test_a_run_keeps_averaged_weights_and_has_no_export(tmp_path):
    (tmp_path / "x").mkdir()
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "x" / f"{i}.png")
    options = {"data": str(tmp_path / "x"), "size": (8, 16), "batch": 2, "steps": 3, "sample_every": 3, "ndf": 2}
    run = train("energy", **options, langevin=2, pool=5, out=tmp_path / "run", quiet=True)
    assert [file.name for file in (run / "weights").iterdir()] == ["energy.safetensors"]
    assert (run / "samples" / "000000003.png").is_file()
    state = torch.load(max((run / "state").iterdir()), weights_only=True)["game"]
    loaded = load_translator(run)
    weights = loaded.D.state_dict()
    assert all(torch.equal(weights[key], tensor) for key, tensor in state["ema"]["energy"].items())
    assert loaded.sample(2, seed=1).shape == (2, 1, 8, 16)
    with pytest.raises(ValueError, match=r"a run of energy has no export.*load_translator\(RUN\).sample\(n, seed\)"):
        export(run)
    tuned = train("energy", **options, langevin=2, pool=5, from_=str(run), out=tmp_path / "tuned", quiet=True)
    assert (tuned / "weights" / "energy.safetensors").is_file()
