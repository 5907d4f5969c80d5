"""CUT's steps against the authors' procedure, written out with their own means; what is looked at, and when."""

import inspect
import itertools

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from i2i.engine.options import hyperparameters
from i2i.engine.step import Move, play
from i2i.translators.cut import CUT, FastCUT, columns, recoloured
from i2i.translators.dclgan import DCLGAN
from i2i.translators.enco import EnCo
from i2i.translators.hneg import HnegSRC
from tests.translators.cases import batch, make

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"generator": "resnet_2", "ngf": 4, "ndf": 4, "patches": 60}


def adam(net):
    return torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999))


def nce_loss(t, seen, source, made, mirrored, ids):
    """The authors' calculate_NCE_loss: the made image as the query, the given one as the keys, the same patches."""

    def pooled(maps):
        rows = [map.permute(0, 2, 3, 1).flatten(1, 2)[:, at].flatten(0, 1) for map, at in zip(maps, ids, strict=True)]
        heads = [mlp(row) for mlp, row in zip(t.H.mlps, rows, strict=True)]
        return [z / (z.pow(2).sum(1, keepdim=True).sqrt() + 1e-7) for z in heads]

    q = seen(made)
    if mirrored:
        q = [map.flip(3) for map in q]
    total = 0.0
    for a, b in zip(pooled(q), pooled(seen(source)), strict=True):
        b = b.detach()
        positive = (a * b).sum(1, keepdim=True)
        a, b = (z.view(len(source), -1, z.shape[-1]) for z in (a, b))
        negative = a.bmm(b.transpose(2, 1))
        negative.masked_fill_(torch.eye(a.shape[1], dtype=torch.bool)[None], -10.0)
        out = torch.cat((positive, negative.flatten(0, 1)), 1) / 0.07
        total = total + cross_entropy(out, torch.zeros(len(out), dtype=torch.long), reduction="none").mean()
    return total * t.lambda_nce / len(ids)


def authors_cut(t, x, y, random):
    """Three steps: D first; then G with H, with D switched off. ``random(step)`` is whether to mirror, and the ids."""
    optimizer_G, optimizer_H, optimizer_D = adam(t.G), adam(t.H), adam(t.D)

    def seen(images):
        maps = []
        layers = [*t.G.first, *itertools.chain(*t.G.down), *t.G.blocks]
        for number, layer in enumerate(layers):
            images = layer(images)
            if number in (0, 4, 8, 12, 13):  # in the authors' resnet_9 the last is 16, the fifth block
                maps.append(images)
        return maps

    for step in range(3):
        mirrored, ids = random(step)
        real = torch.cat((x, y)) if t.nce_idt else x
        made = t.G(real.flip(3) if mirrored else real)
        fake, same = made[: len(x)], made[len(x) :]
        t.D.requires_grad_(True)
        optimizer_D.zero_grad()
        judged = t.D(fake.detach()), t.D(y)
        d = (mse_loss(judged[0], torch.zeros_like(judged[0])) + mse_loss(judged[1], torch.ones_like(judged[1]))) * 0.5
        d.backward()
        optimizer_D.step()
        t.D.requires_grad_(False)
        optimizer_G.zero_grad(), optimizer_H.zero_grad()
        judged = t.D(fake)
        gan = mse_loss(judged, torch.ones_like(judged)) * t.lambda_gan
        nce = nce_loss(t, seen, x, fake, mirrored, ids)
        both = nce
        terms = {"D/gan": d, "G/gan": gan, "G/nce": nce}
        if t.nce_idt:
            nce_y = nce_loss(t, seen, y, same, mirrored, ids)
            both = (nce + nce_y) * 0.5
            terms |= {"G/nce": nce * 0.5, "G/nce_y": nce_y * 0.5}
        (gan + both).backward()
        optimizer_G.step(), optimizer_H.step()
        yield {name: term.item() for name, term in terms.items()}
    t.D.requires_grad_(True)


@pytest.mark.parametrize(
    ("made", "options"),
    [(CUT, {}), (FastCUT, {}), (CUT, {"flip_equivariance": True}), (CUT, {"antialias": False, "upsample": "deconv"})],
)
def test_losses_and_every_weight_of_three_steps_equal_the_authors_procedure(made, options):
    def build():
        torch.manual_seed(3)
        return made(3, 3, **SMALL, **options).double()

    ours, theirs, before = build(), build(), build()
    if not ours.G.antialias:  # the authors' layers are counted with the filters
        theirs.G.down = nn.ModuleList(nn.Sequential(*layers, nn.Identity()) for layers in theirs.G.down)
    data = {name: image.double() for name, image in batch("cut", size=24).items()}
    sizes = [map.shape[2] * map.shape[3] for map in ours.G.encode(data["x"])]

    def random(step):
        """The numbers that ours draws, in its order, from the same seed."""
        torch.manual_seed(step)
        mirrored = ours.flip_equivariance and bool(torch.rand(()) < 0.5)
        return mirrored, [torch.randperm(size)[: SMALL["patches"]] for size in sizes]

    moves = {name: Move(player) for name, player in ours.players().items()}
    mirrors = set()
    for step, expected in enumerate(authors_cut(theirs, data["x"], data["y"], random)):
        mirrors.add(random(step)[0])
        torch.manual_seed(step)
        terms = play(ours, moves, data, step)
        assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-6)
    assert len(mirrors) == 1 + ours.flip_equivariance
    ours, theirs, before = (dict(t.named_parameters()) for t in (ours, theirs, before))
    assert ours.keys() == theirs.keys()
    for key, expected in theirs.items():
        # A bias that a norm cancels is moved by rounding noise alone; one that is not moves by 2e-4 a step.
        least = 1e-6 if key.endswith("bias") else 1e-9
        assert torch.allclose(ours[key], expected, rtol=1e-6, atol=least), key
    weights = [key for key in ours if key.endswith("weight")]
    assert len(weights) > 20
    assert not any(torch.equal(ours[key], before[key]) for key in weights)


def test_defaults_are_the_papers_and_fastcut_differs_in_three():
    def defaults(made):
        return {name: p.default for name, p in inspect.signature(made).parameters.items()}

    cut, fast = defaults(CUT), defaults(FastCUT)
    assert (cut["lambda_gan"], cut["lambda_nce"], cut["nce_T"], cut["patches"]) == (1.0, 1.0, 0.07, 256)
    assert {name: fast[name] for name in fast if fast[name] != cut[name]} == {
        "lambda_nce": 10.0, "nce_idt": False, "flip_equivariance": True,
    }  # fmt: skip
    assert list(cut) == list(fast)
    assert hyperparameters("fastcut", {"ngf": "32", "nce_idt": "yes"}) == {"ngf": 32, "nce_idt": True}
    assert FastCUT(generator="resnet_1", ngf=2, ndf=2).lambda_nce == 10.0
    assert CUT(generator="resnet_1", ngf=2, ndf=2).lambda_nce == 1.0


@pytest.mark.parametrize(("method", "mirrors"), [("cut", False), ("fastcut", False), ("fastcut", True)])
def test_no_superfluous_forward_passes(method, mirrors, monkeypatch):
    """G runs once over the real images and half of it over what it made; the maps of the former come on the way."""
    translator, data, runs = make(method), batch(method), []
    translator.G.first[1].register_forward_pre_hook(lambda m, i: runs.append(("first half", len(i[0]))))
    translator.G.last[1].register_forward_pre_hook(lambda m, i: runs.append(("second half", len(i[0]))))
    translator.D.register_forward_pre_hook(lambda m, i: runs.append(("D", len(i[0]))))
    monkeypatch.setattr(torch, "rand", lambda *_: torch.tensor(0.4 if mirrors else 0.6))
    play(translator, {name: Move(player) for name, player in translator.players().items()}, data)
    n = 4 if method == "cut" else 2
    again = [("first half", n)] if mirrors else []
    assert runs == [
        ("first half", n), ("second half", n), *again, ("D", 4), ("D", 2), ("first half", n)
    ]  # fmt: skip


def test_fewer_places_than_patches():
    translator = make("cut", patches=10**6)
    v = translator(batch("cut"))
    sizes = [38 * 38, 32 * 32, 16 * 16, 8 * 8]
    assert v["z"].shape == (4, sum(sizes), 256)
    assert sorted(v["s"][: sizes[0]].tolist()) == list(range(sizes[0]))


def test_columns():
    x = torch.arange(24.0).view(1, 2, 3, 4)
    assert columns(x, torch.tensor([5, 0])).tolist() == [[[5.0, 17.0], [0.0, 12.0]]]


def test_images_with_the_channels_of_the_other_domain():
    grey, colour = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0.3, 0.0, 0.9]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    alpha = torch.cat([colour, torch.full((1, 1, 2, 2), -1.0)], 1)
    assert torch.equal(recoloured(grey, 3), torch.full((1, 3, 2, 2), 0.5))
    assert recoloured(grey, 4)[0, :, 0, 0].tolist() == [0.5, 0.5, 0.5, 1.0]
    assert recoloured(alpha, 1).flatten().tolist() == pytest.approx([0.4] * 4)
    assert torch.equal(recoloured(alpha, 3), colour)
    assert recoloured(colour, 3) is colour


def test_a_generator_without_a_first_half():
    with pytest.raises(ValueError, match="expected resnet_N"):
        make("cut", generator="unet_32")


@pytest.mark.parametrize("method", [CUT, HnegSRC, EnCo, DCLGAN])
def test_weights_begin_as_the_authors_have_them_or_larger(method):
    """With xavier and its gain of 0.02 the first maps are below the epsilon of a norm, and those behind it vanish."""
    small = {"generator": "resnet_1", "discriminator": "patch_1", "ngf": 4, "ndf": 4}
    x, means = torch.rand(1, 3, 32, 32) * 2 - 1, []
    for init in ("xavier", "normal"):
        torch.manual_seed(0)
        means.append(float(method(**small, init=init).G.encode(x)[2].detach().std()))
    assert means[0] < 0.2 * means[1]
    with pytest.raises(ValueError, match="init is 'he'; choose normal or xavier"):
        method(**small, init="he")


@pytest.mark.parametrize("method", [CUT, HnegSRC])
def test_bands_of_other_counts_are_refused(method):
    """Results pass through the encoder of A."""
    with pytest.raises(ValueError, match=r"A has 5 channels and B 3; .* choose dclgan, cyclegan or enco"):
        method(5, 3)
    method(5, 5, generator="resnet_1", ngf=2, ndf=2)
    method(3, 5, generator="resnet_1", ngf=2, ndf=2)
