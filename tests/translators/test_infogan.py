"""InfoGAN: its codes, and its terms by hand."""

import math

import pytest
import torch

from i2i.cli import train as cli_train
from i2i.engine.options import hyperparameters
from i2i.engine.step import Move, play
from i2i.spec import Code
from i2i.translators.infogan import parse_codes
from i2i.translators.latent import of_seeds
from tests.translators.cases import DOMAINS, batch, make

pytestmark = pytest.mark.usefixtures("one_thread")


def test_codes_are_read_and_refused():
    assert parse_codes("digit=10, width,slant") == (Code("digit", 10), Code("width"), Code("slant"))
    for wrong in ("", "digit=", "digit=1", "digit=ten", "a,,b", "=3", "2nd", "digit=-3"):
        with pytest.raises(ValueError, match=r"digit=10,width,slant"):
            parse_codes(wrong)
    with pytest.raises(ValueError, match="a name comes twice"):
        parse_codes("a=3,b,a")


def test_codes_pass_the_command_line():
    given = cli_train._named_values(None, None, ("codes=digit=10,width,slant", "latent=3"))
    made = make("infogan", **hyperparameters("infogan", given))
    assert made.prior().codes == (Code("digit", 10), Code("width"), Code("slant"))
    assert (made.prior().noise, made.prior().length) == (3, 15)


def test_the_information_terms_by_hand():
    translator = make("infogan", codes="kind=3,size", latent=2).double()
    read = torch.tensor([[1.0, 0.0, 2.0, 0.5], [0.0, -1.0, 0.0, -2.0]], dtype=torch.float64)
    translator.Q.forward = lambda _features: read
    z = torch.tensor([[9.0, 9.0, 0.0, 0.0, 1.0, -0.5], [9.0, 9.0, 1.0, 0.0, 0.0, 1.0]], dtype=torch.float64)
    terms = translator.information(torch.zeros(2, 3, 32, 32, dtype=torch.float64), z)
    first = -2 + math.log(math.e + 1 + math.e**2)  # -log of the probability of the third of three
    second = math.log(2 + math.exp(-1))  # of the first
    assert terms["info_kind"].item() == pytest.approx((first + second) / 2)
    assert terms["info_size"].item() == pytest.approx(0.1 * (1.0**2 + 3.0**2) / 2 / 2)
    assert list(terms) == ["info_kind", "info_size"]


def test_the_terms_train_q_and_the_body_by_the_discriminator_and_g_through_both():
    translator = make("infogan")
    v = translator(batch("infogan"))
    for loss, reached in ((translator.discriminator_loss, {"D", "Q"}), (translator.generator_loss, {"D", "Q", "G"})):
        translator.zero_grad()
        sum(term for name, term in loss(v).items() if name.startswith("info")).backward(retain_graph=True)
        moved = {name.split(".")[0] for name, p in translator.named_parameters() if p.grad is not None}
        assert moved == reached
        assert all(p.grad is None for p in translator.D.head.parameters())  # the body, not the verdict
    owned = {id(p) for p in translator.players()["D"].net.parameters()}
    assert owned == {id(p) for net in (translator.D, translator.Q) for p in net.parameters()}
    assert translator.players()["G"].lr == 5 * translator.players()["D"].lr


def test_q_learns_the_codes_of_a_generator_that_shows_them():
    """Information falls below that of a guess when only D and Q move."""
    translator = make("infogan", codes="kind=2,size", latent=1, ndf=4, lr=1e-2, norm="none")

    class Shows(torch.nn.Module):
        def forward(self, z):
            image = z[:, 1, None, None, None] + z[:, 3, None, None, None] * torch.linspace(-0.4, 0.4, 32)
            return image.expand(-1, 3, 32, 32) - 0.5

    translator.G = Shows()
    moves = {"D": Move(translator.players()["D"])}
    first = {}
    for step in range(60):
        torch.manual_seed(step)
        terms = play(translator, moves, batch("infogan", n=16), step)
        first = first or terms
    assert first["D/info_kind"].item() == pytest.approx(math.log(2), abs=0.1)
    assert terms["D/info_kind"] < 0.1
    assert terms["D/info_size"] < first["D/info_size"] / 2


def test_the_sheet_has_the_values_of_the_first_category_in_columns_and_a_seed_in_each_row():
    translator = make("infogan", codes="width,digit=3,slant").eval()
    x = batch("infogan")["x"]
    with torch.no_grad():
        views = translator({"x": x})
        assert list(views) == ["x", "G(z,digit=0)", "G(z,digit=1)", "G(z,digit=2)"]
        z = of_seeds(translator.prior(), x)
        z[:, 5:8] = torch.tensor([0.0, 1.0, 0.0])  # after 4 numbers of noise and the width
        assert torch.equal(views["G(z,digit=1)"], translator.G(z))


def test_without_a_category_the_sheet_shows_the_first_continuous_code():
    translator = make("infogan", codes="width,slant", domains=DOMAINS).eval()
    given = batch("infogan", labelled=True)
    with torch.no_grad():
        views = translator(given)
        names = [f"G(z,width={v})" for v in ("-2", "-1.5", "-1", "-0.5", "0", "0.5", "1", "1.5", "2")]
        assert list(views) == ["x", *names]
        z = of_seeds(translator.prior(), given["x"])
        z[:, 4] = -1.5
        assert torch.equal(views["G(z,width=-1.5)"], translator.G(z, given["c"]))
