"""Exports with group and layer normalisation and with a residual output: pixels, tiles, steady video, precisions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from i2i.exporter import export_network
from i2i.exporter.writer import convert
from i2i.images import Image, write_image
from i2i.networks import generator
from i2i.runtime.graphs.instance_norm import Statistics
from i2i.runtime.graphs.onnx_file import read_spec
from i2i.runtime.model.executor import Executor
from i2i.runtime.tiles.tiler import Tiling, translate_tiled
from tests.exporter.conftest import by_hand, pictures, run, spec
from tests.runtime.tiles.networks import photo, psnr

pytestmark = pytest.mark.usefixtures("one_thread")
CHANNELS = {"group": [2, 4, 8, 8, 8, 4, 2], "layer": [1] * 7}  # statistics of ResNet(blocks=1, ngf=4)


def randomised(net: nn.Module) -> nn.Module:
    """Draw every weight again, so that neither the scales are 1 nor the last layer 0."""
    torch.manual_seed(1)
    for name, parameter in net.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0, 0.3 if "last" not in name else 0.025)
        else:
            nn.init.normal_(parameter, 1 if name.endswith("weight") else 0, 0.2)
    return net.eval()


@pytest.fixture(scope="module", params=["group", "layer"])
def norm(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def net(norm: str) -> nn.Module:
    return randomised(generator("resnet_1", 3, 3, ngf=4, norm=norm, residual=True))


@pytest.fixture(scope="module")
def path(norm: str, net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_network(net, spec(), tmp_path_factory.mktemp(norm) / "net.onnx")


def test_same_pixels_as_torch(path: Path, net: nn.Module) -> None:
    promise = read_spec(path)
    assert promise is not None
    assert promise.tiling == "statistics"
    for shape in ((3, 64, 40), (1, 33, 47)):
        image = pictures(*shape, promise)
        got, want = run(path, image), by_hand(net, image, promise).round()
        assert np.abs(got - want).max() <= 1
        assert np.abs(got.astype(int) - image).max() > 10


def test_a_unet_too(tmp_path: Path) -> None:
    net = randomised(generator("unet_32", 3, 3, ngf=4, norm="group", dropout=False, residual=True))
    path = export_network(net, spec(), tmp_path / "unet.onnx")
    image = pictures(2, 65, 40, spec())
    assert np.abs(run(path, image) - by_hand(net, image, spec()).round()).max() <= 1


def test_a_residual_network_returns_its_input_to_the_bit(tmp_path: Path) -> None:
    net = generator("resnet_1", 3, 3, ngf=4, norm="instance", residual=True).eval()  # whose last layer is still 0
    image = pictures(1, 40, 33, spec())
    assert np.array_equal(run(export_network(net, spec(), tmp_path / "first.onnx"), image), image)


def test_groups_are_found_with_their_maps(norm: str, path: Path) -> None:
    forms = Statistics(path)
    assert [norm.channels for norm in forms.norms] == CHANNELS[norm]
    assert [norm.level for norm in forms.norms] == [1, 2, 3, 4, 5, 6, 7]


def test_exact_tiles_are_the_whole_image(path: Path) -> None:
    image = photo(300, 341)
    graph = Executor(path, "cpu", 1, False)
    whole = graph.run(image[None])[0]
    tiled = translate_tiled(graph, image, tiling=Tiling(exact=True, side=192))
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    assert psnr(tiled, whole) > 60
    tile = graph.run(image[None, :192, :192])[0]  # with statistics of its own
    assert np.abs(tile[:100, :100].astype(int) - whole[:100, :100]).max() > 5
    assert psnr(translate_tiled(graph, image, tiling=Tiling(side=192)), whole) > 28


def test_statistics_can_be_set_and_blended(path: Path) -> None:
    """As in steady video: with its own statistics the graph is unchanged, with another image's it is not."""
    forms, image, total = Statistics(path), photo(64, 96)[None], sum(norm.channels for norm in Statistics(path).norms)

    def translated(own: float, given: np.ndarray, image: np.ndarray = image) -> list[np.ndarray]:
        from tests.runtime.graphs.test_instance_norm import run as run_graph

        return run_graph(forms.blended(), image=image, own=np.array(own, np.float32), given=given)

    plain, used = translated(1, np.zeros((1, total, 2), np.float32))
    assert np.abs(plain.astype(int) - run(path, image)).max() <= 1
    assert np.abs(translated(0, used)[0].astype(int) - plain).max() <= 1
    (others,) = translated(1, used, 255 - image)[1:]
    assert np.abs(translated(0, others)[0].astype(int) - plain).max() > 5


def test_other_precisions(path: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(12):
        pixels = np.ascontiguousarray(photo(120, 200)[number : number + 96, 5 * number : 5 * number + 96])
        write_image(tmp_path / "images" / f"{number}.png", Image(pixels))
    half = convert(path, tmp_path / "half.onnx", "fp16", tmp_path / "images")
    promise = read_spec(half)
    assert promise is not None
    assert promise.loss is not None
    assert [norm.channels for norm in Statistics(half).norms] == [norm.channels for norm in Statistics(path).norms]
    assert not any(norm.half for norm in Statistics(half).norms)
    assert {"Conv", "Relu"} <= {node.op_type for node in onnx.load(half).graph.node}
    graph, image = Executor(half, "cpu", 1, False), photo(300, 341)
    tiled = translate_tiled(graph, image, tiling=Tiling(exact=True, side=192))
    assert np.abs(tiled.astype(int) - graph.run(image[None])[0]).max() <= 1
    quantised = convert(path, tmp_path / "eight.onnx", "int8", tmp_path / "images")
    assert psnr(run(quantised, image[None])[0], run(path, image[None])[0]) > 40
