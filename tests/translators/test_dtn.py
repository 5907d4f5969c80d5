"""Feature constancy by its formulas: an encoder given from outside, one that is trained, and neither that collapses."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from i2i.engine.step import Move, play
from i2i.networks.autoencoder import Autoencoder
from i2i.translators.dtn import DTN, fingerprint
from tests.translators.cases import batch, make

pytestmark = pytest.mark.usefixtures("one_thread")


def mean_colours():
    """An encoder that knows only how bright each channel is on the whole."""
    return nn.Sequential(nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 3, 1, bias=False))


def no_module():
    return len


def faulty():
    return nn.Identity().no_such_layer


class Elsewhere(torch.Tensor):
    """As on a GPU: NumPy cannot have it."""

    def cpu(self):
        return self.as_subclass(torch.Tensor)

    def numpy(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


GIVEN = f"{__name__}:mean_colours"


def test_the_terms_of_a_given_encoder_by_hand():
    translator = make("dtn", encoder=GIVEN, lambda_const=7.0, lambda_tid=3.0)
    players = translator.players()
    assert set(players) == {"D", "G"}
    assert {name.split(".")[0] for name in translator.state_dict()} == {"G", "D", "_extra_state"}
    views = translator(batch("dtn"))
    terms = players["G"].loss(views)
    (f,) = translator.given
    assert not any(p.requires_grad for p in f.parameters())
    assert not f.training
    weight = f[2].weight[:, :, 0, 0]
    x, y = (views[name].mean((2, 3)) @ weight.T for name in ("x", "G(x)"))
    assert terms["const"].item() == pytest.approx(7 * (x - y).square().mean().item(), rel=1e-5)
    assert terms["tid"].item() == pytest.approx(3 * (views["G(y)"] - views["y"]).square().mean().item(), rel=1e-5)


def test_a_given_encoder_is_not_moved_and_is_not_needed_to_load_the_generator():
    translator = make("dtn", encoder=GIVEN)
    moves = {name: Move(player) for name, player in translator.players().items()}
    before = copy.deepcopy(translator.given[0].state_dict())
    for step in range(2):
        play(translator.train(), moves, batch("dtn"), step)
    assert not translator.given[0].training
    assert all(torch.equal(before[key], value) for key, value in translator.given[0].state_dict().items())
    elsewhere = make("dtn", encoder="not.installed:here")
    elsewhere.load_state_dict(translator.state_dict())
    with pytest.raises(ValueError, match=r"not\.installed:here"):
        elsewhere.players()


def test_a_run_does_not_go_on_with_another_encoder():
    first, again, other = (make("dtn", encoder=GIVEN) for _ in range(3))
    for translator, seed in ((first, 0), (again, 0), (other, 1)):
        torch.manual_seed(seed)
        translator.players()
    again.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="other weights"):
        other.load_state_dict(first.state_dict())


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ("vgg", "package.module:function"),
        (f"{__name__}:gone", "cannot be imported"),
        (f"{__name__}:no_module", "nn.Module"),
    ],
)
def test_invalid_encoders_are_refused_before_the_first_step(encoder, words):
    with pytest.raises(ValueError, match=words):
        make("dtn", encoder=encoder).players()


def test_an_error_inside_the_function_is_its_own():
    with pytest.raises(AttributeError, match="no_such_layer"):
        make("dtn", encoder=f"{__name__}:faulty").players()


def test_the_fingerprint_of_an_encoder_on_a_gpu_is_that_on_the_cpu():
    net, weights = nn.Module(), torch.arange(6.0)
    net.register_buffer("w", weights)
    expected = fingerprint(net)
    net.w = weights.as_subclass(Elsewhere)
    assert isinstance(net.state_dict()["w"], Elsewhere)
    assert fingerprint(net) == expected


def test_the_trained_encoder_learns_to_reconstruct_and_keeps_its_features_apart():
    """Whatever L_CONST would like: f's own loss knows nothing of it, and G's move does not touch f."""
    torch.manual_seed(0)
    translator = DTN(3, 3, generator="resnet_1", ngf=2, ndf=2, nef=8, features=8, lambda_const=1e4, lr=5e-3)
    player = translator.players()["f"]
    assert {id(p) for p in player.net.parameters()} == {id(p) for p in translator.A.parameters()}
    move, grid = Move(player), torch.linspace(-1, 1, 32)
    x = torch.stack([(grid[:, None] * a + grid * b).expand(3, -1, -1) for a, b in ((1, 0), (0, 1), (-1, 0), (0, -1))])
    losses = [move({"x": x, "y": -x}, nullcontext) for _ in range(80)]
    assert losses[-1]["rec_x"] < 0.3 * losses[0]["rec_x"]
    with torch.no_grad():
        assert translator.f(x).std(0).mean() > 0.05


@pytest.mark.parametrize(("h", "w"), [(1, 1), (16, 16), (17, 45), (32, 31)])
def test_the_autoencoder_takes_any_size(h, w):
    net = Autoencoder(3, nf=2, features=5)
    x = torch.rand(2, 3, h, w)
    assert net(x).shape == x.shape
    features = net.encode(x)
    assert features.shape == (2, 5, -(-h // 16), -(-w // 16))
    assert features.abs().max() <= 1


def test_where_the_channels_differ_f_sees_grey():
    translator = make("dtn", 1, 4)
    assert translator.A.down[0].in_channels == 1
    rgba = torch.rand(2, 4, 32, 32)
    assert torch.equal(translator.seen(rgba), rgba[:, :3].mean(1, keepdim=True))
