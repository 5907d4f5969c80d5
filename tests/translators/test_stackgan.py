"""StackGAN: the three kinds of pairs, conditioning augmentation, the fit of image and sentence, and both stages."""

import math

import pytest
import torch
from torch.nn.functional import softplus

from i2i.engine.step import Move, play
from i2i.networks import per_image
from i2i.networks.words import Augmentation, Condition, TextEncoder
from tests.translators.cases import batch, make, texts

pytestmark = pytest.mark.usefixtures("one_thread")

SECOND = {"stage": 2, "scale": 2, "blocks": 1}


def moves_of(translator):
    return {name: Move(player) for name, player in translator.players().items()}


def test_the_discriminator_scores_right_wrong_and_generated_pairs():
    translator = make("stackgan", norm="none", word_dropout=0.0)
    views = translator(batch("stackgan", n=3))
    phi, wrong = translator.encoder(views["text"]), translator.encoder(views["wrong"])
    D, x, y = translator.D, views["x"], views["G(z,t)"]
    terms = translator.discriminator_loss(views)
    right = softplus(-D(x, phi)).mean()
    assert torch.allclose(terms["gan"], (right + softplus(D(y, phi)).mean()) / 2)
    assert torch.allclose(terms["wrong"], (right + softplus(D(x, wrong)).mean()) / 2)
    assert torch.allclose(translator.generator_loss(views)["gan"], softplus(-D(y, phi)).mean())
    assert not torch.allclose(D(x, phi), D(x, wrong))


def test_the_fit_is_a_choice_among_the_sentences_and_images_of_the_batch():
    translator = make("stackgan", lambda_match=3.0)
    scores = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 3.0]])
    translator.D.similarity = lambda maps, phi: scores
    text = torch.tensor([[2, 0], [3, 0], [2, 0]])  # the first and the last are the same sentence
    loss = translator.match(None, None, text)["match"]
    apart = [math.log(1 + math.exp(-2)), math.log(1 + 2 * math.exp(-1)), math.log(1 + math.exp(-3))]
    assert float(loss) == pytest.approx(3 * sum(apart) / 3, rel=1e-6)
    plain = make("stackgan", lambda_match=0.0)
    terms = play(plain, moves_of(plain), batch("stackgan"))
    assert set(terms) == {"D/gan", "D/wrong", "G/gan", "G/kl"}


def test_the_divergence_of_the_conditions():
    """KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - 1) / 2 - log sigma."""
    condition = Condition(torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, math.log(3)]]))
    assert float(condition.kl()) == pytest.approx(((4 + 9 - 1) / 2 - math.log(3)) / 2)
    torch.manual_seed(0)
    drawn = torch.cat([condition.draw(torch.randn(1, 2)) for _ in range(4000)])
    assert torch.allclose(drawn.mean(0), condition.mu[0], atol=0.2)
    assert torch.allclose(drawn.std(0), torch.tensor([1.0, 3.0]), rtol=0.05)
    translator = make("stackgan", lambda_kl=5.0)
    views = translator(batch("stackgan"))
    assert torch.allclose(translator.generator_loss(views)["kl"], 5 * views["kl"])


def test_the_noise_of_the_conditions_is_the_last_part_of_z():
    used, z, text = per_image(make("stackgan").G), torch.rand(2, 8), texts(2)
    with torch.no_grad():
        mu, log_sigma = used.augmentation(used.encoder(text))
        assert torch.equal(used(z, text), used.net(z[:, :4], mu + log_sigma.exp() * z[:, 4:]))


def test_the_logits_contain_a_projection_of_image_and_sentence():
    D = make("stackgan", norm="none").D
    x, phi = torch.rand(3, 3, 32, 32), torch.rand(3, 8)
    with torch.no_grad():
        D.head.weight.zero_(), D.head.bias.zero_()
        maps = D.body(x)
        assert torch.allclose(D(x, phi)[:, 0], D.similarity(maps, phi).diagonal(), atol=1e-6)
        assert D(x, phi).abs().min() > 0


def test_an_embedding_ignores_what_fills_up_and_hears_every_word():
    torch.manual_seed(0)
    encoder = TextEncoder(5, 8).eval()
    short, long = torch.tensor([[3, 4]]), torch.tensor([[3, 4, 0, 0]])
    states = encoder.gru(encoder.words(short))[0]
    assert torch.equal(encoder(short), states.amax(1))
    # the backward direction begins in the filling, whose states are not taken
    assert torch.allclose(encoder(long)[:, :4], encoder(short)[:, :4], atol=1e-6)
    assert not torch.allclose(encoder(long), encoder(torch.tensor([[3, 5, 0, 0]])))
    assert not torch.allclose(encoder(short), encoder(torch.tensor([[4, 3]])))  # their order


def test_words_become_unknown_while_training():
    torch.manual_seed(0)
    encoder, seen = TextEncoder(5, 8, dropout=0.25), []
    encoder.words.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    text = torch.tensor([[2, 3, 4, 0]]).repeat(1000, 1)
    encoder(text), encoder.eval()(text)
    train, use = seen
    assert float((train[:, :3] == 1).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert not train[:, 3].any()
    assert torch.equal(use, text)


def test_the_generator_does_not_move_the_text_encoder():
    translator = make("stackgan")
    players = {name: {id(p) for p in player.net.parameters()} for name, player in translator.players().items()}
    words = {id(p) for p in translator.encoder.parameters()}
    assert words <= players["D"]
    assert not words & players["G"]


@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
@pytest.mark.parametrize("scale", [2, 4])
def test_stage_two_refines_a_finished_stage_one(scale, size):
    height, width = size
    translator = make("stackgan", **SECOND | {"scale": scale, "height": height, "width": width})
    first = {name: tensor.clone() for name, tensor in translator.G.first.state_dict().items()}
    data = batch("stackgan")
    data["x"] = torch.rand(2, 3, height, width) * 2 - 1
    translator.train()
    moves = moves_of(translator)
    for step in range(2):
        terms = play(translator, moves, data, step)
    assert set(terms) == {"D/gan", "D/wrong", "D/match", "G/gan", "G/kl", "G/match"}
    after = translator.G.first.state_dict()
    assert all(torch.equal(first[name], after[name]) for name in first)  # also the running averages
    learned = {id(p) for p in translator.parameters() if p.requires_grad}
    assert learned == {id(p) for player in translator.players().values() for p in player.net.parameters()}
    silent = [p.shape for move in moves.values() for p in move.parameters if p.ndim > 1
              and not move.optimizer.state[p]["exp_avg_sq"].any()]  # fmt: skip
    assert not silent
    used = per_image(translator.G)
    z, text = torch.rand(2, 8), texts(2)
    with torch.no_grad():
        assert used.first(z, text).shape == (2, 3, height // scale, width // scale)
        assert used(z, text).shape == (2, 3, height, width)
        small, _, embedding = used.first.draw(z, text)
        assert torch.equal(used(z, text), used.refine(small, z, embedding).image)
    assert translator.foundations()["generate"] is translator.G.first
    assert make("stackgan").foundations() == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stage": 3}, "stage is 3"),
        ({"stage": 2, "scale": 3}, "scale 2 or 4"),
        ({"stage": 2, "height": 34}, "draws multiples of 4 pixels"),
        ({"features": 7}, "features is 7"),
        ({"word_dropout": 1.0}, "word_dropout 1.0"),
        ({"words": 0}, "0 words"),
        ({"vocabulary": ""}, "4 words"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        make("stackgan", **options)


def test_augmentation_is_one_layer_with_a_slope():
    layer = Augmentation(3, 2)
    given = torch.rand(4, 3)
    mu, log_sigma = layer(given)
    assert mu.shape == log_sigma.shape == (4, 2)
    assert torch.allclose(torch.cat([mu, log_sigma], 1), torch.nn.functional.leaky_relu(layer.layers[0](given), 0.2))
