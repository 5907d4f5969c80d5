"""Training aids and mismatched pairs: each term by hand, and the plain game where all are off."""

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import l1_loss, softplus

from i2i.engine.step import Move, play
from i2i.gan import Adversarial
from i2i.networks.minibatch import MinibatchDiscrimination
from i2i.translators.aids import Aids
from i2i.translators.pix2pix import of_another
from tests.translators.cases import DOMAINS, batch, make

pytestmark = pytest.mark.usefixtures("one_thread")

AIDED = ("gan", "dcgan", "infogan")
GAME = Adversarial("vanilla")


def moves_of(translator):
    return {name: Move(player) for name, player in translator.players().items()}


def test_minibatch_discrimination_by_hand():
    crowd = MinibatchDiscrimination(2, kernels=2, dim=1).double()
    with torch.no_grad():
        crowd.T.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    f = torch.tensor([[0.0, 0.0], [1.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
    # the rows of M are x and 2 y: the distances 1, 3, 2 and 0, 2, 2
    e = math.exp
    near = [[1 + e(-1) + e(-3), 2 + e(-2)], [1 + e(-1) + e(-2), 2 + e(-2)], [1 + e(-3) + e(-2), 1 + 2 * e(-2)]]
    found = crowd(f)
    assert torch.equal(found[:, :2], f)
    assert torch.allclose(found[:, 2:], torch.tensor(near, dtype=torch.float64))


@pytest.mark.parametrize("method", AIDED)
def test_minibatch_discrimination_tells_images_that_are_alike(method):
    translator = make(method, minibatch=3)
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    x = torch.stack([x[0], x[0], x[1]])
    alone = make(method, minibatch=3)  # the same weights
    assert sum(isinstance(module, MinibatchDiscrimination) for module in translator.modules()) == 1
    translator.eval(), alone.eval()
    with torch.no_grad():
        assert not torch.equal(translator.D(x)[0], alone.D(x[1:])[0])  # the image is the same, its batch is not
        assert torch.equal(make(method).eval().D(x)[0], make(method).eval().D(x[1:])[0])
    assert all(torch.isfinite(term) for term in play(translator.train(), moves_of(translator), batch(method)).values())


def test_noise_has_its_deviation_and_is_new_for_each_look():
    x = torch.zeros(4, 3, 50, 50)
    D = Aids(GAME, noise=0.3).seen(nn.Identity())
    torch.manual_seed(0)
    first, second = D(x), D(x)
    assert first.std().item() == pytest.approx(0.3, rel=0.02)
    assert first.mean().item() == pytest.approx(0, abs=0.01)
    assert (first - second).std().item() == pytest.approx(0.3 * 2**0.5, rel=0.02)
    plain = nn.Identity()
    assert Aids(GAME).seen(plain) is plain


@pytest.mark.parametrize(
    ("method", "options", "looks"),
    [
        ("gan", {}, 3),
        ("dcgan", {"mismatched": True, "domains": DOMAINS}, 4),
        ("pix2pix", {}, 3),
        ("pix2pix", {"mismatched": True}, 4),
        ("stargan", {"constraint": "gp"}, 4),
        ("stargan", {"constraint": "gp", "mismatched": True}, 4),
    ],
)
def test_every_look_of_the_discriminator_has_noise(method, options, looks, monkeypatch):
    """In a step it looks at real, wrong and generated images, and between both for a penalty."""
    drawn = []
    real = torch.randn_like
    monkeypatch.setattr(torch, "randn_like", lambda x: drawn.append(x) or real(x))
    translator = make(method, noise=0.1, **options)
    play(translator, moves_of(translator), batch(method, labelled="domains" in options))
    assert len(drawn) == looks


def test_feature_matching_by_hand():
    real, fake = torch.tensor([[1.0, 2.0], [3.0, 2.0]]), torch.tensor([[0.0, 1.0], [1.0, 2.0]], requires_grad=True)
    (name, term), *more = Aids(GAME, matching=3.0).matched(lambda x: x, real, fake).items()
    assert (name, more) == ("matching", [])
    assert term.item() == pytest.approx(3 * (1.5**2 + 0.5**2) / 2)  # means (2, 2) and (0.5, 1.5)
    term.backward()
    assert torch.allclose(fake.grad, 3 * torch.tensor([[-1.5, -0.5]] * 2) / 2)


@pytest.mark.parametrize("method", AIDED)
@pytest.mark.parametrize("labels", [{}, {"domains": DOMAINS}], ids=["plain", "labelled"])
def test_feature_matching_is_a_term_of_the_generator_on_the_layer_before_the_last(method, labels):
    translator = make(method, matching=2.0, **labels)
    v = translator(batch(method, labelled=bool(labels)))
    c = [v["c"]] if labels else []
    found = translator.generator_loss(v)["matching"]
    last = translator.D.layers[-1] if method == "gan" else translator.D.head
    caught = []
    hook = last.register_forward_pre_hook(lambda _module, given: caught.append(given[0].mean(0)))
    for x in (v["x"], v["G(z)"]):
        translator.D(x, *c)
    hook.remove()
    assert found.item() == pytest.approx(2 * (caught[0] - caught[1]).square().mean().item(), rel=1e-5)
    assert "matching" not in translator.discriminator_loss(v)


@pytest.mark.parametrize("method", [*AIDED, "pix2pix"])
def test_smoothing_changes_the_label_of_real_images_alone(method):
    translator, plain = make(method, smoothing=0.1), make(method)
    torch.manual_seed(1)
    v = translator(batch(method))
    if method == "pix2pix":
        real, fake = (translator.D(torch.cat([v["x"], v[y]], 1)) for y in ("y", "G(x)"))
    else:
        real, fake = translator.D(v["x"]), translator.D(v["G(z)"])
    by_hand = 0.9 * softplus(-real).mean() + 0.1 * softplus(real).mean() + softplus(fake).mean()
    by_hand = by_hand / 2 if method == "pix2pix" else by_hand
    assert translator.discriminator_loss(v)["gan"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert torch.equal(translator.generator_loss(v)["gan"], plain.generator_loss(v)["gan"])


@pytest.mark.parametrize("method", [*AIDED, "pix2pix", "stargan"])
def test_the_discriminator_rests_while_its_loss_is_below_the_balance(method):
    for balance, moves in ((1e-6, True), (1e6, False)):
        translator = make(method, objective="lsgan", constraint="none", balance=balance)
        playing = moves_of(translator)
        before = {name: p.clone() for name, p in translator.named_parameters()}
        terms = play(translator, playing, batch(method))
        assert {name.split("/")[0] for name in terms} == {"D", "G"}  # the log has the loss of a step without a move
        changed = {name.split(".")[0] for name, p in translator.named_parameters() if not torch.equal(p, before[name])}
        mine = {"D", "Q"} if method == "infogan" else {"D"}
        assert changed == ({"G"} | mine if moves else {"G"})
        assert bool(playing["D"].optimizer.state) == moves


def test_what_cannot_work_is_refused_in_a_sentence():
    for method in AIDED:
        for constraint in ("gp", "gp-real", "r1"):
            with pytest.raises(ValueError, match=f"constraint {constraint} limits the slope"):
                make(method, constraint=constraint, minibatch=2)
        for name in ("noise", "minibatch", "matching", "balance"):
            with pytest.raises(ValueError, match=f"{name} is -1; it cannot be negative"):
                make(method, **{name: -1})
    for method in (*AIDED, "pix2pix", "stargan"):
        with pytest.raises(ValueError, match="wgan has no least value"):
            make(method, objective="wgan", constraint="gp", balance=0.1)
        for objective in ("wgan", "hinge", "margin"):
            with pytest.raises(ValueError, match=f"objective {objective} has no labels; .* vanilla, minimax, lsgan"):
                make(method, objective=objective, constraint="clip", smoothing=0.1)
        for wrong in (-0.1, 1.0, math.nan):
            with pytest.raises(ValueError, match=r"expected 0 \(off\) to below 1"):
                make(method, objective="lsgan", smoothing=wrong)


def test_mismatched_pairs_of_pix2pix_by_hand():
    translator = make("pix2pix", mismatched=True, norm="none")
    v = translator(batch("pix2pix", n=3))
    real, fake, wrong = (
        translator.D(torch.cat([v["x"], y], 1)) for y in (v["y"], v["G(x)"], v["y"][torch.tensor([2, 0, 1])])
    )
    by_hand = (softplus(-real).mean() + softplus(fake).mean() / 2 + softplus(wrong).mean() / 2) / 2
    assert translator.discriminator_loss(v)["gan"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert torch.equal(of_another(torch.arange(3)), torch.tensor([2, 0, 1]))
    with pytest.raises(ValueError, match="give --batch 2 or more"):
        translator.discriminator_loss(translator(batch("pix2pix", n=1)))


@pytest.mark.parametrize("attributes", [False, True])
def test_mismatched_pairs_of_stargan_by_hand(attributes):
    translator = make("stargan", mismatched=True, objective="lsgan", constraint="none", attributes=attributes)
    x, c = batch("stargan", n=4)["x"], torch.eye(3)[[0, 1, 2, 0]]
    target = torch.eye(3)[[0, 2, 1, 0]]  # the first and the last as they were: no wrong labels
    v = {"x": x, "c": c, "c'": target, "G(x,c')": translator.G(x, target)}

    def score(images, labels):
        src, cls = translator.D(images)
        return src + torch.stack([cls[i] @ labels[i] for i in range(len(cls))])[:, None, None, None]

    real, fake = score(x, c), score(v["G(x,c')"], target)
    wrong = score(x, target)[1:3]
    whole = (real - 1).square().mean() + fake.square().mean()
    pairs = (real[1:3] - 1).square().mean() + wrong.square().mean()
    assert translator.discriminator_loss(v)["gan"].item() == pytest.approx((whole + pairs).item() / 2, rel=1e-5)
    assert translator.generator_loss(v)["gan"].item() == pytest.approx((fake - 1).square().mean().item(), rel=1e-5)
    same = v | {"c'": c}
    alike = (real - 1).square().mean() + score(v["G(x,c')"], c).square().mean()
    assert translator.discriminator_loss(same)["gan"].item() == pytest.approx(alike.item(), rel=1e-5)


def of_a_gan(t, v):
    loss = t.gan.critic(t.D, v["x"], v["G(z)"])
    return {"gan": loss, **t.gan.penalty(t.D, v["x"], v["G(z)"].detach())}


def of_pix2pix(t, v):
    real, fake = torch.cat([v["x"], v["y"]], 1), torch.cat([v["x"], v["G(x)"]], 1)
    return {"gan": t.gan.critic(t.D, real, fake), **t.gan.penalty(t.D, real, fake)}


def of_stargan(t, v):
    src, cls = t.D(v["x"])
    fake = v["G(x,c')"].detach()
    loss = {"gan": t.gan.critic_of(src, t.D.source(fake)), "cls": t.lambda_cls * t.classification(cls, v["c"])}
    return loss | t.gan.penalty(t.D.source, v["x"], fake)


def of_stargans_generator(t, v):
    src, cls = t.D(v["G(x,c')"])
    loss = {"gan": t.gan.generator_of(src), "cls": t.lambda_cls * t.classification(cls, v["c'"])}
    return loss | {"rec": t.lambda_rec * l1_loss(t.G(v["G(x,c')"], v["c"]), v["x"])}


PLAIN = {  # the losses of both players without any option
    "gan": (of_a_gan, lambda t, v: {"gan": t.gan.generator(t.D, v["G(z)"])}),
    "dcgan": (of_a_gan, lambda t, v: {"gan": t.gan.generator(t.D, v["G(z)"])}),
    "pix2pix": (
        of_pix2pix,
        lambda t, v: {
            "gan": t.gan.generator(t.D, torch.cat([v["x"], v["G(x)"]], 1)),
            "l1": t.lambda_l1 * l1_loss(v["G(x)"], v["y"]),
        },
    ),
    "stargan": (of_stargan, of_stargans_generator),
}


@pytest.mark.parametrize(("objective", "constraint"), [("vanilla", "none"), ("lsgan", "gp")])
@pytest.mark.parametrize("method", PLAIN)
def test_without_options_the_game_is_the_plain_one_bit_by_bit(method, objective, constraint):
    ours, theirs = (make(method, objective=objective, constraint=constraint) for _ in range(2))
    discriminator, generator = PLAIN[method]
    theirs.discriminator_loss = lambda v: discriminator(theirs, v)
    theirs.generator_loss = lambda v: generator(theirs, v)
    weights = []
    for translator in (ours, theirs):
        moves = moves_of(translator)
        for step in range(3):
            torch.manual_seed(step)
            play(translator, moves, batch(method), step)
        weights.append(translator.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])
