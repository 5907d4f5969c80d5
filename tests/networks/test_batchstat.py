"""UVCGAN2's discriminator: past features of each kind, their state, and its preset."""

import pytest
import torch
from torch.nn.functional import batch_norm

from i2i.engine.distributed import World
from i2i.engine.options import preset_of
from i2i.engine.run_folder import Run
from i2i.engine.schedule import learning_rate
from i2i.engine.settings import Settings
from i2i.engine.step import Move, play
from i2i.engine.train_state import LOCAL, TrainState
from i2i.gan import Adversarial
from i2i.networks import BatchStatGAN, discriminator
from i2i.translators import TRANSLATORS, translator_class
from tests.translators.cases import CASES, batch, make

pytestmark = pytest.mark.usefixtures("one_thread")
UNPAIRED = [method for method in TRANSLATORS if translator_class(method).data == "unpaired"]


def images(n=1):
    return torch.rand(n, 3, 32, 32) * 2 - 1


def test_present_features_are_normalised_with_past_ones_of_their_kind():
    torch.manual_seed(0)
    D = BatchStatGAN(3, layers=1, ndf=4)
    seen = [images() for _ in range(5)]
    for x in seen:
        D(x, "real", keep=True)
    D(images(), "fake", keep=True)
    D.begin_step()
    x = images()
    maps = torch.cat([D.body(x), *(D.body(each) for each in seen[-3:])])  # the last three
    wanted = D.head(batch_norm(maps, None, None, training=True)[:1])
    assert torch.allclose(D(x, "real"), wanted, atol=1e-6)
    assert torch.allclose(D(x, "real"), wanted, atol=1e-6)  # it was not kept
    assert not torch.allclose(D(x, "fake"), wanted, atol=1e-3)
    assert torch.allclose(D(x), D.head(batch_norm(D.body(x), None, None, training=True)), atol=1e-6)
    assert D(images(2), "real").shape == (2, 1, 14, 14)
    assert D(torch.rand(1, 3, 40, 40), "real").shape == (1, 1, 18, 18)  # without those of another size


def test_past_features_pass_no_gradient_and_are_state():
    D, other = BatchStatGAN(3, layers=1, ndf=4), BatchStatGAN(3, layers=1, ndf=4)
    first = images().requires_grad_()
    D(first, "real", keep=True)
    D(images(), "real").sum().backward()
    assert first.grad is None
    D.begin_step()
    state = D.state_dict()
    assert [key for key in state if key.endswith(LOCAL)] == ["_extra_state"]
    other.load_state_dict(state)
    x = images()
    assert torch.equal(D(x, "real"), other(x, "real"))
    D.eval()(x, "real", keep=True)
    assert len(D.kept["real"]) == 1


def test_a_critic_sees_both_kinds_and_keeps_them_once_a_step():
    D = discriminator("batchstat_1", 3, ndf=4)
    gan = Adversarial("lsgan", "spectral+gp-zero")
    assert isinstance(D, BatchStatGAN)
    D = gan.constrain(D)
    for _ in range(5):
        real, fake = images(), images()
        gan.critic(D, real, fake)
        gan.penalty(D, real, fake)
        gan.generator(D, fake)
    assert {kind: len(maps) for kind, maps in D.kept.items()} == {"real": 3, "fake": 3}
    assert all(hasattr(layer, "parametrizations") for layer in (D.body[0], D.head[0], D.head[2]))
    with pytest.raises(ValueError, match="at least 6 x 6 pixels, and these are 4 x 4"):
        D(torch.zeros(1, 3, 4, 4))


def test_a_penalty_constrains_the_function_that_plays():
    """The past maps are those of the game, mixed as the images are."""
    torch.manual_seed(0)
    D, gan = BatchStatGAN(3, layers=1, ndf=4), Adversarial("lsgan", "gp-zero")
    games = [(images(), images()) for _ in range(3)]
    for real, fake in games:
        gan.critic(D, real, fake)
    real, fake = games[-1]
    before = [[D.body(pair[side]) for pair in games[:2]] for side in (0, 1)]
    for share in (1.0, 0.0, torch.full((1, 1, 1, 1), 0.25)):
        x = share * real + (1 - share) * fake
        mixed = [share * a + (1 - share) * b for a, b in zip(*before, strict=True)]
        wanted = D.head(batch_norm(torch.cat([D.body(x), *mixed]), None, None, training=True)[:1])
        assert torch.allclose(D(x, share), wanted, atol=1e-6)
    torch.manual_seed(1)
    found = gan.penalty(D, real, fake)["penalty"]
    torch.manual_seed(1)
    share = torch.rand(1, 1, 1, 1)
    x = (share * real + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(D(x, share).mean(), x)
    assert found.item() == pytest.approx(slope.square().sum().item(), rel=1e-5)


@pytest.mark.parametrize("method", ["cut", "cyclegan"])
def test_no_image_is_compared_with_itself(method, tmp_path):
    """Where the discriminator moves first, the generator's images are those that it has just kept."""
    given = {"discriminator": "batchstat_1", "size": 32, "precision": "fp32"}
    given |= {name: value for name, value in CASES[method].small.items() if name not in given}
    run = Run.open(method, tmp_path, {"a": "a", "b": "b", **given})
    run.facts |= {side: {"channels": 3} for side in ("source", "target")}
    game, kinds, together = TrainState(run, World()), [], []
    D = game.translator.critics()["a2b"]
    D.register_forward_pre_hook(lambda _, given: kinds.append(given[1]))
    D.together.register_forward_pre_hook(lambda _, given: together.append(given[0].detach()))
    for step in range(5):
        kinds.clear()
        together.clear()
        kept = [map.clone() for map in D.kept.get("fake", [])]  # those of the steps before
        assert len(kept) == min(step, 3)
        game.step(batch(method), step, 1.0)
        fakes = [maps for kind, maps in zip(kinds, together, strict=True) if kind == "fake"]
        assert len(fakes) == 2  # of both players
        for maps in fakes:
            assert torch.equal(maps[2:], torch.cat([maps[:0], *kept]))


def test_each_scale_remembers():
    D, gan = discriminator("batchstat_1x2", 3, ndf=4), Adversarial("lsgan", "r1r2")
    real, fake = images(), images()
    gan.critic(D, real, fake)
    assert [{kind: len(maps) for kind, maps in each.kept.items()} for each in D] == 2 * [{"real": 1, "fake": 1}]
    assert torch.isfinite(gan.penalty(D, real, fake)["penalty"])
    assert torch.isfinite(gan.generator(D, fake))


@pytest.mark.parametrize("method", UNPAIRED)
def test_the_preset_is_of_any_unpaired_method(method):
    settings, hyper = preset_of("uvcgan2", method)
    assert settings == {"schedule": "constant", "beta2": 0.99, "ema": 0.9999}
    assert (hyper["objective"], hyper["constraint"], hyper["lr"]) == ("lsgan", "spectral+gp-zero", 1e-4)
    if "discriminator" in hyper:
        hyper["discriminator"] = hyper["discriminator"].replace("_3", "_1")
    small = {name: value for name, value in CASES[method].small.items() if name not in hyper}
    translator = translator_class(method)(**(small | hyper))
    moves = {name: Move(player) for name, player in translator.players().items()}
    for step in range(2):
        terms = play(translator, moves, batch(method), step)
        assert all(torch.isfinite(term) for term in terms.values())
    assert any("penalty" in name for name in terms)


def test_constraints_together():
    one, both = Adversarial("lsgan", "gp"), Adversarial("lsgan", "gp+r1")
    D, x, y = make("cyclegan").D_X, images(), images()
    torch.manual_seed(1)
    sum_of_both = one.penalty(D, x, y)["penalty"] + Adversarial("lsgan", "r1").penalty(D, x, y)["penalty"]
    torch.manual_seed(1)
    assert both.penalty(D, x, y)["penalty"].item() == pytest.approx(sum_of_both.item(), rel=1e-6)
    assert Adversarial("wgan", "spectral+clip").after(D) is not None
    with pytest.raises(ValueError, match="constraint is 'gpp'; choose one of none, clip, gp"):
        Adversarial("lsgan", "spectral+gpp")


def test_a_constant_schedule():
    settings = Settings("cyclegan", steps=10, schedule="constant")
    assert {learning_rate(step, settings, 5) for step in range(10)} == {1.0}
    for wrong in ({"schedule": "cosine"}, {"beta2": 1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Settings("cyclegan", **wrong)
