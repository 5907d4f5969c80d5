"""Translations within masks, in training and on sample sheets."""

import pytest
import torch

from i2i.engine.samples import shown
from i2i.engine.step import Move, play
from i2i.translators import TRANSLATORS, translator_class
from i2i.translators.content import Content, with_content
from i2i.translators.masks import masked, translations
from tests.translators.cases import batch, make

pytestmark = pytest.mark.usefixtures("one_thread")

UNPAIRED = [method for method in TRANSLATORS if translator_class(method).data == "unpaired"]


def half(n=2, size=32):
    mask = torch.zeros(n, 1, size, size)
    mask[..., : size // 2] = 1
    return mask


@pytest.mark.parametrize("method", [*UNPAIRED, "pix2pix", "pix2pixhd"])
def test_outside_of_its_mask_a_translation_is_its_source(method):
    translator, data = make(method), batch(method) | {"mask": half()}
    torch.manual_seed(0)
    plain = translator(data)
    views = masked(plain, data)
    (made,) = translations(list(views), "x")
    assert made in ("G(x)", "x->y")
    assert torch.equal(views[made][..., 16:], data["x"][..., 16:])
    assert torch.equal(views[made][..., :16], plain[made][..., :16])
    assert all(torch.equal(views[name], plain[name]) for name in plain if name != made)
    moves = {name: Move(player) for name, player in translator.players().items()}
    assert all(torch.isfinite(term) for term in play(translator, moves, data).values())


@pytest.mark.parametrize(("method", "options", "progress"), [
    *((method, {}, 0.0) for method in UNPAIRED), ("cut", {"nce_idt": False}, 0.0), ("enco", {}, 0.5),
])  # fmt: skip
def test_masks_of_both_sides_leave_what_is_no_image(method, options, progress):
    """Where y is not translated, the view after it holds patches."""
    translator, data = make(method, **options), batch(method) | {"mask": half(), "mask_y": half()}
    translator.progress = progress
    moves = {name: Move(player) for name, player in translator.players().items()}
    assert all(torch.isfinite(term) for term in play(translator, moves, data).values())


def test_the_game_is_played_within_the_mask():
    translator, data = make("direct"), batch("direct")
    moves = {name: Move(player) for name, player in translator.players().items()}
    nothing = play(translator, moves, data | {"mask": torch.zeros(2, 1, 32, 32)})
    translator = make("direct")
    wanted = translator.gan.generator(translator.D, data["x"])  # D judges the source itself
    assert nothing["G/gan"].item() == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("method", ["pix2pix", "pix2pixhd"])
def test_of_pairs_the_target_is_masked_too(method):
    """Else the discriminator would tell both apart by what lies outside, where nothing is learned."""
    translator, data = make(method), batch(method) | {"mask": torch.zeros(2, 1, 32, 32)}
    judged = []
    translator.D.register_forward_pre_hook(lambda _, given: judged.append(given[0].detach()))
    moves = {"D": Move(translator.players()["D"])}
    play(translator, moves, data)
    real, fake = judged if len(judged) == 2 else judged[0].chunk(2)
    assert torch.equal(real, fake)
    assert torch.equal(shown(translator.eval(), data)["y"], data["x"])
    with pytest.raises(ValueError, match="G\\(x\\) has 3 channels and its source 1"):
        play(make(method, 1, 3), moves, batch(method, 1, 3) | {"mask": half()})


def test_a_turned_translation_is_masked_too():
    translator, data = make("cyclegan"), batch("cyclegan")
    masks = {"mask": torch.zeros(2, 1, 32, 32), "mask_y": torch.zeros(2, 1, 32, 32)}
    players = with_content(translator, Content(geometry=1.0))
    terms = play(translator, {name: Move(player) for name, player in players.items()}, data | masks)
    assert terms["G/geometry_a2b"] == terms["G/geometry_b2a"] == 0


def test_both_sides_and_several_results_have_masks():
    x, y = torch.zeros(2, 3, 32, 32), torch.ones(2, 3, 32, 32)
    made = torch.full_like(x, 0.5)
    views = {"x": x, "x->y(0)": made, "x->y(12)": made, "x->y(y)": made, "y": y, "y->x(0)": made}
    found = masked(views, {"mask": half(), "mask_y": 1 - half()})
    for name in ("x->y(0)", "x->y(12)"):
        assert torch.equal(found[name][..., 16:], x[..., 16:])
    assert torch.equal(found["y->x(0)"][..., :16], y[..., :16])
    assert torch.equal(found["y->x(0)"][..., 16:], made[..., 16:])
    soft = masked({"x": x, "G(x)": made, "y": y}, {"mask": torch.full((2, 1, 32, 32), 0.5)})
    assert torch.equal(soft["G(x)"], torch.full_like(x, 0.25))
    assert masked(views, {}) == views
    with pytest.raises(ValueError, match=r"G\(x\) has 3 channels and its source 1"):
        masked({"x": x[:, :1], "G(x)": made, "y": y}, {"mask": half()})


def test_sample_sheets_show_the_same():
    translator, data = make("cyclegan"), batch("cyclegan") | {"mask": half()}
    views = shown(translator.eval(), data)
    assert torch.equal(views["G(x)"][..., 16:], data["x"][..., 16:])
    assert "mask" not in views
