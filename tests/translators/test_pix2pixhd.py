"""pix2pixHD: its sizes, feature matching by hand, several scales by name, and both stages."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from i2i import networks
from i2i.engine.step import Move, play
from i2i.exporter import export_network
from i2i.networks import per_image
from i2i.runtime.model.executor import Executor
from i2i.runtime.tiles.tiler import Tiling, translate_tiled
from i2i.translators.pix2pixhd import Pix2PixHD
from tests.exporter.conftest import by_hand, pictures, run, spec
from tests.runtime.tiles.networks import photo
from tests.translators.cases import batch, make

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_authors_sizes():
    """Of the networks that they release for Cityscapes: 36 channels of labels, boundaries and none of features."""
    with torch.device("meta"):
        first, second = Pix2PixHD(36, 3), Pix2PixHD(36, 3, stage=2)

    def millions(net):
        return sum(p.numel() for p in net.parameters()) / 1e6

    assert millions(first.G) == pytest.approx(182.547, abs=5e-4)
    assert millions(second.G) - millions(second.G.globe.last) == pytest.approx(182.857, abs=5e-4)
    assert millions(first.D) == pytest.approx(3 / 2 * 5.603, rel=2e-3)  # they count two scales, without instances
    assert len(first.D) == 3


def test_feature_matching_by_hand():
    translator, data = make("pix2pixhd", discriminator="patch_2x3"), batch("pix2pixhd", size=64)
    v = translator(data)
    terms = translator.generator_loss(v)
    gan, matching = 0.0, 0.0
    real, fake = (torch.cat([v["x"], v[name]], 1) for name in ("y", "G(x)"))
    for D in translator.D:
        a, b = real, fake
        count = 0
        for layer in D.model:
            a, b = layer(a), layer(b)
            if isinstance(layer, nn.LeakyReLU):
                matching += (b - a).abs().mean() * 10 / 3 * 4 / 3  # three maps
                count += 1
        assert count == 3
        gan += (b - 1).square().mean()
        real, fake = (avg_pool2d(pair, 3, 2, 1, count_include_pad=False) for pair in (real, fake))
    assert terms["fm"].item() == pytest.approx(matching.item(), rel=1e-5)
    assert terms["gan"].item() == pytest.approx(gan.item(), rel=1e-5)
    single = make("pix2pixhd", discriminator="patch_1")
    assert set(play(single, {n: Move(p) for n, p in single.players().items()}, batch("pix2pixhd"))) == {
        "G/gan", "G/fm", "D/gan",
    }  # fmt: skip
    for wrong, words in (
        ({"discriminator": "batchstat_1x2"}, "no maps to match"),
        ({"discriminator": "pixel"}, "no maps to match"),
        ({"stage": 3}, "stage is 3"),
    ):
        with pytest.raises(ValueError, match=words):
            make("pix2pixhd", **wrong)


def test_several_scales_by_name():
    D = networks.discriminator("patch_1x3", 3, ndf=2, norm="none")
    assert isinstance(D, networks.MultiScale)
    assert len(D) == 3
    x = torch.randn(2, 3, 48, 40)
    assert [tuple(logits.shape[2:]) for logits in D(x)] == [(22, 18), (10, 8), (4, 3)]
    assert torch.equal(D(x)[1], D[1](avg_pool2d(x, 3, 2, 1, count_include_pad=False)))
    assert [len(maps) for maps in D.features(x)] == [3, 3, 3]
    assert all(torch.equal(maps[-1], logits) for maps, logits in zip(D.features(x), D(x), strict=True))
    with pytest.raises(ValueError, match="at 3 scales need images of at least 24 x 24 pixels, and these are 20 x 48"):
        D(torch.zeros(1, 3, 48, 20))
    for wrong in ("patch_3x0", "patch_3x", "patch_x3", "pixelx2", "patch_0x2"):
        with pytest.raises(ValueError, match="expected patch_N"):
            networks.discriminator(wrong, 3)


@pytest.mark.parametrize("method", ["cyclegan", "cut", "unit", "pix2pix"])
@pytest.mark.parametrize("constraint", ["gp-zero", "r1", "spectral"])
def test_any_method_plays_against_several_scales(method, constraint):
    translator = make(method, discriminator="patch_1x2", constraint=constraint)
    moves = {name: Move(player) for name, player in translator.players().items()}
    for step in range(2):
        terms = play(translator, moves, batch(method), step)
        assert all(torch.isfinite(term) for term in terms.values())
    D = next(net for name, net in translator.named_children() if name.startswith("D"))
    assert len(D) == 2
    critic = moves["D"]
    assert all(critic.optimizer.state[p]["exp_avg_sq"].any() for p in critic.parameters if p.ndim > 1)


def test_stage_two_moves_all_but_the_unused_last_layer():
    translator = make("pix2pixhd", stage=2)
    frozen = [name for name, p in translator.named_parameters() if not p.requires_grad]
    assert frozen == ["G.globe.last.1.weight", "G.globe.last.1.bias"]
    moves = {name: Move(player) for name, player in translator.players().items()}
    for step in range(2):
        play(translator, moves, batch("pix2pixhd"), step)
    assert all(moves["G"].optimizer.state[p]["exp_avg_sq"].any() for p in moves["G"].parameters if p.ndim > 1)


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_the_local_enhancer_takes_any_size(norm):
    net = per_image(make("pix2pixhd", stage=2, norm=norm, residual=norm == "group").G)
    for size in ((net.minimum, net.minimum), (33, 47), (64, 41)):
        with torch.no_grad():
            y = net(torch.rand(1, 3, *size) * 2 - 1)
        assert y.shape == (1, 3, *size)
        assert y.isfinite().all()
    with pytest.raises(ValueError, match="ngf is 3; a local enhancer has half of the filters"):
        make("pix2pixhd", stage=2, ngf=3)


def test_the_receptive_field_of_the_local_enhancer_is_no_more_than_it_says():
    net = make("pix2pixhd", stage=2, norm="none").G.double()
    x = torch.randn(1, 3, 192, 192, dtype=torch.float64, requires_grad=True)
    net(x)[0, :, 95, 97].sum().backward()
    rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    extent = int(rows.max() - rows.min()) + 1
    assert net.receptive_field / 2 < extent <= net.receptive_field


def test_the_local_enhancer_exports_and_tiles_exactly(tmp_path):
    torch.manual_seed(0)
    net = make("pix2pixhd", stage=2, enhancer=1, ngf=4).G
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.2)
    path = export_network(net.eval(), spec(), tmp_path / "net.onnx")
    image = pictures(2, 65, 90, spec())
    assert abs(run(path, image) - by_hand(net, image, spec()).round()).max() <= 1
    graph, large = Executor(path, "cpu", 1, False), photo(403, 517)
    tiled = translate_tiled(graph, large, tiling=Tiling(exact=True, side=384))
    assert abs(tiled.astype(int) - graph.run(large[None])[0]).max() <= 1
