"""VAE-GAN against its algorithm, written out: terms, gradients of each player, and what moves."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from i2i.engine.step import Move, play
from i2i.translators.vaegan import VAEGAN, distance, kl

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"height": 16, "width": 24, "latent": 4, "nef": 3, "ngf": 3, "ndf": 3, "gamma": 0.25}


def made(**options):
    torch.manual_seed(0)
    return VAEGAN(**(SMALL | options)).double()


def images(n=4):
    torch.manual_seed(1)
    return torch.rand(n, 3, 16, 24, dtype=torch.float64) * 2 - 1


def test_kl_and_likelihood_are_the_closed_forms():
    mu, log_variance = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    posterior, prior = Normal(mu, (log_variance / 2).exp()), Normal(0.0, 1.0)
    assert kl(mu, log_variance).item() == pytest.approx(kl_divergence(posterior, prior).sum(1).mean().item())
    assert kl(torch.tensor([[3.0, 0.0]]), torch.zeros(1, 2)).item() == 4.5
    assert distance(torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 3.0)).item() == 18  # 4 * 9 / 2
    a, b = torch.randn(6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    likelihood = Normal(a, 1.0).log_prob(a).sum() - Normal(a, 1.0).log_prob(b).sum()  # the constant apart
    assert distance(a[None], b[None]).item() == pytest.approx(likelihood.item())


@pytest.mark.parametrize(("layer", "end"), [(0, 5), (1, 2), (2, 5)])
def test_terms_and_the_gradient_of_each_player_are_algorithm_1(layer, end):
    t, x = made(layer=layer), images()
    torch.manual_seed(2)
    v = t({"x": x})
    torch.manual_seed(2)
    epsilon, z = (torch.randn(4, 4).double() for _ in "ez")

    def D(x):
        return t.D(x)

    def D_l(x):
        for i in range(end):
            x = t.D.body[i](x)
        return x

    mu, log_variance = t.E(x).split(4, 1)
    code = mu + log_variance.exp().sqrt() * epsilon
    x_tilde, x_p = t.G(torch.cat([code, z])).split(4)
    x_alone = t.G(code)  # the encoder's: the batch norm of G sees the posterior's images alone
    one, zero = torch.ones(4, 1).double(), torch.zeros(4, 1).double()
    prior = (mu**2 + log_variance.exp() - 1 - log_variance).sum() / 2 / 4
    likes = [((D_l(x) - D_l(made)) ** 2).sum() / 2 / 4 for made in (x_alone, x_tilde)]
    gan = bce(D(x), one) + (bce(D(x_tilde), zero) + bce(D(x_p), zero)) / 2
    fooled = (bce(D(x_tilde), one) + bce(D(x_p), one)) / 2
    expected = {
        "E": (t.E, {"prior": prior, "llike": likes[0]}),
        "G": (t.G, {"llike": 0.25 * likes[1], "gan": fooled}),
        "D": (t.D, {"gan": gan}),
    }
    players = t.players()
    assert list(players) == list(expected)
    for name, (net, terms) in expected.items():
        ours = players[name].loss(v)
        assert {k: term.item() for k, term in ours.items()} == pytest.approx({k: e.item() for k, e in terms.items()})
        assert players[name].net is net
        parameters = list(net.parameters())
        mine = torch.autograd.grad(sum(ours.values()), parameters, retain_graph=True)
        theirs = torch.autograd.grad(sum(terms.values()), parameters, retain_graph=True)
        for (key, _), a, b in zip(net.named_parameters(), mine, theirs, strict=True):
            assert torch.allclose(a, b, rtol=1e-8, atol=1e-10), (name, key)


def test_the_penalty_is_taken_between_data_and_both_kinds_of_images(monkeypatch):
    t, x = made(constraint="gp", norm="none"), images()
    v, seen = t({"x": x}), []
    monkeypatch.setattr("i2i.gan.between", lambda real, fake: seen.append(fake) or (fake, 0.5))
    t.discriminator_loss(v)
    assert torch.equal(seen[0], torch.cat([v["G(z~)"][:2], v["G(z)"][2:]]))


def test_labels_only_teach_the_classifier_and_the_means():
    x, c = images(), torch.eye(2, dtype=torch.float64)[[0, 1, 1, 0]]
    plain, labelled = made(), made(domains=2)
    for t, batch in ((plain, {"x": x}), (labelled, {"x": x, "c": c})):
        torch.manual_seed(3)
        moves = {name: Move(player) for name, player in t.players().items()}
        terms = play(t, moves, batch)
    assert terms["C/cls"].item() == pytest.approx(0.6931471805599453)
    for name in "EGD":
        ours, theirs = getattr(plain, name).state_dict(), getattr(labelled, name).state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name
    torch.manual_seed(3)
    before = made(domains=2)
    mu = before.E(x)[:, :4]
    expected = torch.stack([mu[[0, 3]].mean(0), mu[[1, 2]].mean(0)])
    assert torch.allclose(labelled.labels.means(), expected)
    assert not torch.equal(labelled.labels.classifier.weight, before.labels.classifier.weight)


@pytest.mark.parametrize(("attributes", "expected"), [(False, 1.0986122886681098), (True, 3 * 0.6931471805599453)])
def test_the_classifiers_loss_is_per_image(attributes, expected):
    t = made(domains=3, attributes=attributes)  # its weights start at zero: every label is as probable
    v = {"E(x)": torch.rand(4, 4).double(), "c": torch.eye(3).double()[[0, 1, 2, 0]]}
    assert t.label_loss(t.labels, "E(x)", v)["cls"].item() == pytest.approx(expected)


def test_a_layer_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="layer is 3; at this size of images it is 1 to 2, or 0"):
        made(layer=3)
