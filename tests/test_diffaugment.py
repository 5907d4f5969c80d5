"""DiffAugment: each change by hand, and that every discriminator sees its images through it, and nothing else."""

from __future__ import annotations

import pytest
import torch

from i2i import diffaugment
from i2i.diffaugment import CHANGES, DiffAugment, Seen, hole, moved, recoloured
from i2i.gan import Adversarial
from tests.translators.cases import batch, make
from tests.translators.test_conformance import PLAYED

pytestmark = pytest.mark.usefixtures("one_thread")
ALL = "colour,translation,cutout"
JUDGED = ("gan", "penalty", "wrong", "match", "cls", "info", "llike", "matching")
"""Beginnings of the names of terms that a discriminator computes."""


def each(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1)


def test_colours_change_by_the_formulas() -> None:
    image = torch.tensor([0.1, 0.2, 0.6]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2).clone()
    image[..., 0] = 0.0
    found = recoloured(image, each(0.1), each(2.0), each(0.5))
    # brightness: 0.2 0.3 0.7 and 0.1 thrice; saturation 2 around 0.4: 0, 0.2, 1; contrast 0.5 around 0.25
    torch.testing.assert_close(found[0, :, 0, 1], torch.tensor([0.125, 0.225, 0.625]))
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([0.175, 0.175, 0.175]))


def test_alpha_stays_and_other_channels_have_no_saturation() -> None:
    image = torch.rand(2, 5, 4, 4) * 2 - 1
    four = recoloured(image[:, :4], each(0.5, 0.5), each(0, 0), each(1, 1))
    assert torch.equal(four[:, 3], image[:, 3])
    grey = image[:, :3].mean(1, keepdim=True).expand(-1, 3, -1, -1) + 0.5
    torch.testing.assert_close(four[:, :3], grey)
    for channels in (1, 2, 5):
        some = image[:, :channels]
        torch.testing.assert_close(recoloured(some, each(0.5, 0.5), each(0, 0), each(1, 1)), some + 0.5)


def test_images_move_each_by_itself_and_zeros_follow() -> None:
    image = torch.arange(1.0, 65).reshape(1, 1, 8, 8).repeat(2, 1, 1, 1)
    found = moved(image, torch.tensor([[1.0], [0.0]]), torch.tensor([[-1.0], [0.0]]))
    assert torch.equal(found[1], image[1])
    assert torch.equal(found[0, 0, 1:, :-1], image[0, 0, :-1, 1:])
    assert (found[0, 0, 0] == 0).all()
    assert (found[0, 0, :, -1] == 0).all()


def test_the_hole_is_half_the_sides_and_may_lie_partly_outside() -> None:
    mask = hole(torch.zeros(2, 3, 8, 12), torch.tensor([[0.5], [0.0]]), torch.tensor([[0.5], [1.0]]))
    assert mask.shape == (2, 1, 8, 12)
    assert mask[0].sum() == 4 * 6
    assert mask[0, 0, 2:6, 3:9].all()
    assert mask[1].sum() == 2 * 3
    assert mask[1, 0, :2, 9:].all()


def test_images_of_a_batch_differ_and_those_of_one_scene_do_not() -> None:
    image = torch.rand(1, 3, 32, 32).expand(4, -1, -1, -1) * 2 - 1
    x, y = DiffAugment(ALL)(image, image)
    assert torch.equal(x, y)
    assert not any(torch.equal(x[0], x[i]) for i in (1, 2, 3))
    torch.manual_seed(1)
    first = DiffAugment(ALL)(image)[0]
    torch.manual_seed(1)
    assert torch.equal(first, DiffAugment(ALL)(image)[0])


@pytest.mark.parametrize("name", CHANGES)
def test_gradients_pass(name: str) -> None:
    image = (torch.rand(2, 3, 6, 6, dtype=torch.float64) * 2 - 1).requires_grad_()

    def change(image: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return DiffAugment(name)(image)[0]

    assert torch.autograd.gradcheck(change, image)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("color,flip", r"diff_augment is 'color,flip', with 'flip'; expected none, or some of colour, translation"),
        ("cut", r"with 'cut' \(did you mean cutout\?\)"),
        ("cutout,cutout", "where a name comes twice"),
        ("", "with ''; expected none"),
    ],
)
def test_other_names_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        DiffAugment(text)


def test_names_are_written_in_one_order() -> None:
    assert str(DiffAugment("cutout, color")) == "colour,cutout"
    assert str(DiffAugment()) == "none"


def test_off_is_the_discriminator_itself() -> None:
    gan = Adversarial("lsgan")
    assert gan.seen(torch.sin) is torch.sin
    gan.augment.names = ("colour",)
    seen = gan.seen(torch.sin)
    assert isinstance(seen, Seen)
    assert gan.seen(seen) is seen


def test_images_that_are_joined_are_changed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own mean: the pair of a grey and a colour image is no image of four channels."""
    monkeypatch.setitem(
        diffaugment.CHANGES,
        "colour",
        lambda images: tuple(recoloured(image, each(0), each(0), each(1)) for image in images),
    )
    pair = torch.rand(1, 4, 5, 5)
    found = Seen(lambda x: x, DiffAugment("colour"), (1, 3))(pair)
    torch.testing.assert_close(found[:, :1], pair[:, :1])
    torch.testing.assert_close(found[:, 1:], pair[:, 1:].mean(1, keepdim=True).expand(-1, 3, -1, -1))


@pytest.mark.parametrize("method", PLAYED)
def test_every_discriminator_sees_all_images_through_it(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the change makes all images black, no term of a discriminator depends on an image."""
    monkeypatch.setitem(diffaugment.CHANGES, "colour", lambda images: tuple(image * 0 for image in images))
    gradients = {}
    for names in ((), ("colour",)):
        torch.manual_seed(0)
        translator = make(method)
        translator.gan.augment.names = names
        views = translator(batch(method))
        pictures = [name for name, view in views.items() if view.ndim == 4]
        for name in pictures:
            views[name] = views[name].detach().requires_grad_()
        judged = [
            term
            for player in translator.players().values()
            for name, term in player.loss(views).items()
            if name.startswith(JUDGED)
        ]
        assert judged
        found = torch.autograd.grad(
            torch.stack(judged).sum(), [views[name] for name in pictures], allow_unused=True, materialize_grads=True
        )
        gradients[names] = max(float(grad.abs().max()) for grad in found)
    assert gradients[()] > 0
    assert gradients[("colour",)] == 0


@pytest.mark.parametrize("method", PLAYED)
def test_every_game_is_played_with_all_changes(method: str) -> None:
    translator = make(method)
    translator.gan.augment.names = tuple(CHANGES)
    views = translator(batch(method))
    for name, player in translator.players().items():
        loss = torch.stack(list(player.loss(views).values())).sum()
        grads = torch.autograd.grad(loss, list(player.net.parameters()), retain_graph=True, allow_unused=True)
        assert loss.isfinite(), name
        assert any(grad is not None and grad.abs().max() > 0 for grad in grads), name
