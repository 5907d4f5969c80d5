"""BEGAN: its losses by hand, and the balance k."""

import pytest
import torch

from i2i.engine.distributed import World
from i2i.engine.run_folder import Run
from i2i.engine.step import Move, play
from i2i.engine.train_state import TrainState
from i2i.networks.began import BEGANAutoencoder, BEGANDecoder
from tests.translators.cases import CASES, batch, make

pytestmark = pytest.mark.usefixtures("one_thread")


def error(D, x):
    return (x - D(x)).abs().mean().item()


def test_the_losses_and_k_of_a_step_are_the_papers():
    translator = make("began", gamma=0.7, lambda_k=0.1).double()
    translator.k.fill_(0.25)
    x = batch("began")["x"].double()
    v = translator({"x": x})
    real, fake = error(translator.D, x), error(translator.D, v["G(z)"])
    terms = translator.discriminator_loss(v)
    assert terms["real"].item() == pytest.approx(real)
    assert terms["fake"].item() == pytest.approx(-0.25 * fake)
    terms = translator.generator_loss(v)
    assert terms["gan"].item() == pytest.approx(fake)
    assert terms["M"].item() == pytest.approx(real + abs(0.7 * real - fake))
    assert not terms["M"].requires_grad
    translator.players()["G"].after()
    assert translator.k.item() == pytest.approx(0.25 + 0.1 * (0.7 * real - fake))


def test_the_discriminator_does_not_reach_the_generator_and_learns_only_real_images_at_first():
    translator = make("began")
    v = translator(batch("began"))
    terms = translator.discriminator_loss(v)
    assert terms["fake"].item() == 0
    sum(terms.values()).backward()
    assert all(p.grad is None for p in translator.G.parameters())
    assert all(p.grad.abs().sum() > 0 for p in translator.D.parameters())


@pytest.mark.parametrize(("k", "gap", "after"), [(0.0, -5.0, 0.0), (0.95, 5.0, 1.0), (0.5, 0.2, 0.52)])
def test_k_stays_between_0_and_1(k, gap, after):
    translator = make("began", lambda_k=0.1)
    translator.k.fill_(k)
    translator._gaps = [torch.tensor(gap)]
    translator.update_k()
    assert translator.k.item() == pytest.approx(after)


def test_a_step_of_one_process_sends_no_messages(tmp_path, monkeypatch):
    """Trials and estimates are steps of a process alone, also where others run."""
    given = {"data": "a", "size": 32, "precision": "fp32", **CASES["began"].small}
    run = Run.open("began", tmp_path, {k: v for k, v in given.items() if k not in ("height", "width")})
    run.facts |= {side: {"channels": 3} for side in ("source", "target")}
    run.hyperparameters |= {"height": 32, "width": 32}
    game = TrainState(run, World())
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)

    def all_reduce(*_, **__):
        raise AssertionError("a message that no other process waits for")

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    game.step(batch("began"), 0, 1.0)
    assert game.translator.k > 0


def test_k_is_state_and_moves_with_the_game():
    translator, other = make("began", lambda_k=1.0), make("began", lambda_k=1.0)
    moves = {name: Move(player) for name, player in translator.players().items()}
    for step in range(3):
        play(translator, moves, batch("began"), step)
    assert translator.k > 0
    assert other.k == 0
    other.load_state_dict(translator.state_dict())
    assert other.k == translator.k


def test_the_networks_have_the_papers_form():
    """Smallest maps of 8 x 8; the encoder's filters grow by as many a scale; no batch norm."""
    D = BEGANAutoencoder(3, height=64, width=32, filters=4, code=5)
    convolutions = [m for m in D.encoder if isinstance(m, torch.nn.Conv2d)]
    assert [m.out_channels for m in convolutions if m.stride == (2, 2)] == [8, 12]
    assert D.encoder[-1].in_features == 12 * 16 * 8
    assert D.encoder[-1].out_features == 5
    assert D(torch.zeros(2, 3, 64, 32)).shape == (2, 3, 64, 32)
    assert BEGANDecoder(5, 1, height=64, width=64).start == (64, 8, 8)
    assert not any("Norm" in type(m).__name__ for m in D.modules())
    with pytest.raises(ValueError, match="at least 16"):
        BEGANDecoder(5, height=8, width=8)
    with pytest.raises(ValueError, match="gamma is 2"):
        make("began", gamma=2)


def test_the_sheet_shows_what_the_autoencoder_makes_of_the_images():
    translator = make("began").eval()
    x = batch("began")["x"]
    with torch.no_grad():
        assert torch.equal(translator({"x": x})["D(x)"], translator.D(x).clamp(-1, 1))


def test_images_are_bounded_and_the_autoencoder_is_linear_at_its_end():
    translator = make("began")
    with torch.no_grad():
        translator.G.layers[-2].bias.fill_(9)
        translator.D.decoder.layers[-2].bias.fill_(9)
        v = translator(batch("began"))
        assert v["G(z)"].max() <= 1
        assert translator.D(v["x"]).min() > 5
