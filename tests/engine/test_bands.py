"""Runs on bands and on 16 bits: trained, exported and used, each image in the kind and the range of its domain."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import tifffile
import torch

import i2i
from i2i.data import View, read_folders
from i2i.engine import load_generators, train
from i2i.engine.samples import to_pixels
from i2i.exporter.writer import export_network
from i2i.images import read_image
from i2i.networks import per_image
from i2i.runtime import processing
from i2i.spec import Spec

TINY = {"ngf": 2, "ndf": 2, "size": 32, "steps": 3, "sample_every": 3, "save_every": 3, "workers": 1, "quiet": True}
SCALES, STARTS = np.float32([1, 40, 0.01, 5, 30]), np.float32([0, 273, -1, 0, -15])


def smooth(seed: int, channels: int, height: int = 40, width: int = 44) -> np.ndarray:
    """Return smooth noise from 0 to 1, float32 [h, w, channels]."""
    low = np.random.default_rng(seed).random((5, 6, channels), np.float32)
    planes = [cv2.resize(low[..., i], (width, height), interpolation=cv2.INTER_LINEAR) for i in range(channels)]
    return np.dstack(planes)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``five`` (float TIFF) with ``two`` (float NumPy files), and ``grey`` with ``other`` (PNG of 16 bits)."""
    root = tmp_path_factory.mktemp("bands")
    for name in ("five", "two", "grey", "other"):
        (root / name / "train").mkdir(parents=True)
        (root / name / "val").mkdir()
    for number in range(6):
        part = "val" if number > 3 else "train"
        five = smooth(number, 5, 40 + number, 47) * SCALES + STARTS
        two = np.dstack([five[..., 0] * 2 - 1, five[..., 1] / 10])
        options = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
        tifffile.imwrite(root / "five" / part / f"{number}.tif", five, **options)
        np.save(root / "two" / part / f"{number}.npy", two)
        for name, seed in (("grey", 20), ("other", 40)):
            grey = np.rint(smooth(seed + number, 1, 38, 41 + number) * 4095).astype(np.uint16)
            assert cv2.imwrite(str(root / name / part / f"{number}.png"), grey)
    return root


@pytest.fixture(scope="module")
def floats(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pix2pix run from five channels to two, exported."""
    out = tmp_path_factory.mktemp("runs") / "floats"
    train("pix2pix", a=data / "five", b=data / "two", out=out, generator="unet_32", **TINY)
    i2i.export(out)
    return out


@pytest.fixture(scope="module")
def greys(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CycleGAN run of 16 bits in the range of 12, exported both ways."""
    out = tmp_path_factory.mktemp("runs") / "greys"
    train("cyclegan", a=data / "grey", b=data / "other", range="0..4095", out=out, generator="resnet_1", **TINY)
    for direction in ("a2b", "b2a"):
        i2i.export(out, to=direction)
    return out


def spec_of(file: Path) -> Spec:
    return i2i.load(file).spec


def test_the_ranges_found_are_those_of_the_training_images(data: Path, floats: Path) -> None:
    facts, spec = json.loads((floats / "run.json").read_text()), spec_of(floats / "onnx" / "a2b.onnx")
    for side, name, domain in (("source", "five", spec.source), ("target", "two", spec.target)):
        images = [read_image(path).pixels for path in sorted((data / name / "train").iterdir())]
        low, high = (of([of(image, (0, 1)) for image in images], 0) for of in (np.min, np.max))
        np.testing.assert_array_equal(np.float32(domain.range), np.stack([low, high], 1))
        assert facts[side] == domain.to_dict()
        assert (domain.bands, domain.bits, domain.channels) == ("float32", 32, len(low))
    assert (spec.dtype, spec.schema) == ("float32", 4)


def test_float_images_come_back_in_their_size_and_kind(data: Path, floats: Path, tmp_path: Path) -> None:
    i2i.translate(data / "five" / "val", tmp_path / "out", model=floats)
    i2i.translate(data / "five" / "val" / "5.tif", tmp_path / "one.npy", model=floats)
    domain = spec_of(floats / "onnx" / "a2b.onnx").target
    for path in sorted((data / "five" / "val").iterdir()):
        result, source = tifffile.imread(tmp_path / "out" / path.name), tifffile.imread(path)
        assert (result.dtype, result.shape) == (np.float32, (*source.shape[:2], 2))
        low, high = np.float32(domain.range).T
        assert (result >= low).all()
        assert (result <= high).all()
        assert (np.ptp(result, (0, 1)) > 0).all()
    np.testing.assert_array_equal(np.load(tmp_path / "one.npy"), tifffile.imread(tmp_path / "out" / "5.tif"))


def test_the_file_sees_what_training_sees(data: Path, floats: Path) -> None:
    """The batch that a step gets, in the file's own range, through the file: as the network makes of the batch."""
    dataset = read_folders("pairs", a=data / "five" / "train", b=data / "two" / "train")
    net, _ = load_generators(floats)["a2b"]
    path = floats / "onnx" / "a2b.onnx"
    spec, session = spec_of(path), onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    trained = dataset.sample(0, 0, View.plain((40, 47)))["x"][None]
    image = next(read_image(p) for p in sorted((data / "five" / "train").iterdir()) if read_image(p).height == 40)
    prepared = processing.prepare(image, spec)
    assert prepared.dtype == np.float32
    numbers = [dataset.sample(n, 0, View.plain((40, 47)))["x"].numpy() for n in range(4)]
    seen = processing.to_tensor(prepared[None], spec.source)[0]
    assert min(np.abs(each - seen).max() for each in numbers) < 1e-6
    x = trained[..., :32, :32]
    low, half = (np.float32(each)[:, None, None] for each in (np.array(spec.source.range)[:, 0], spec.source.half))
    pixels = ((x.numpy()[0] + 1) * half + low).transpose(1, 2, 0)[None]
    (got,) = session.run(None, {"image": np.ascontiguousarray(pixels, np.float32)})
    with torch.inference_mode():
        want = processing.from_tensor(per_image(net)(x).numpy(), spec.target)
    spans = 2 * np.array(spec.target.half)
    assert np.abs((got - want) / spans).max() < 1e-4


def test_values_beyond_the_range_are_clipped_and_named(floats: Path, data: Path, tmp_path: Path, i2i_inside) -> None:
    image = tifffile.imread(data / "five" / "train" / "0.tif")
    (low, high), inside = spec_of(floats / "onnx" / "a2b.onnx").source.range[1], image.copy()
    image[3, 4, 1], inside[3, 4, 1] = high + 1000, high
    done, results = [], []
    for name, pixels in (("beyond", image), ("inside", inside)):
        np.save(tmp_path / f"{name}.npy", pixels)
        result = tmp_path / f"{name}-out.npy"
        done.append(i2i_inside("translate", tmp_path / f"{name}.npy", result, "-m", floats))
        results.append(np.load(result))
    np.testing.assert_array_equal(*results)
    assert f"{low:g}..{high:g}" in done[0].stderr
    assert "not carried over to NPY: values beyond " in done[0].stderr
    assert "not carried over" not in done[1].stderr
    session = onnxruntime.InferenceSession(floats / "onnx" / "a2b.onnx", providers=["CPUExecutionProvider"])
    alone = [session.run(None, {"image": pixels[None]})[0] for pixels in (image, inside)]
    np.testing.assert_allclose(*alone, atol=1e-5)


def test_sixteen_bits_come_back_in_their_range(data: Path, greys: Path, tmp_path: Path) -> None:
    for direction, name in (("a2b", "grey"), ("b2a", "other")):
        model = greys / "onnx" / f"{direction}.onnx"
        assert spec_of(model).source.range == ((0.0, 4095.0),)
        i2i.translate(data / name / "val", tmp_path / direction, model=model)
        for path in sorted((data / name / "val").iterdir()):
            source, result = (
                cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in (path, tmp_path / direction / path.name)
            )
            assert (result.dtype, result.shape) == (np.uint16, source.shape)
            assert 256 < result.max() <= 4095


def test_sixteen_bits_fill_the_range_that_is_given(data: Path) -> None:
    where = {"a": data / "grey" / "train", "b": data / "other" / "train"}
    view = View.plain((38, 41))
    given, whole = (
        read_folders("unpaired", **where, **more).sample(0, 0, view)["x"] for more in ({"range": "0..4095"}, {})
    )
    torch.testing.assert_close(given, (whole + 1) * (65535 / 4095) - 1, atol=1e-5, rtol=0)
    assert given.max() > 0.5


def test_a_model_of_bands_refuses_pictures_and_formats_of_pictures(
    data: Path, floats: Path, tmp_path: Path, i2i_inside
) -> None:
    done = i2i_inside("translate", data / "grey" / "val" / "4.png", tmp_path / "a.tif", "-m", floats)
    assert done.returncode == 1
    assert "4.png: the model does not take this image: it has 16-bit grey, and 5 channels of float32 in" in done.stderr
    done = i2i_inside("translate", data / "five" / "val", tmp_path / "out", "-m", floats, "--format", "png")
    assert done.returncode == 1
    assert "PNG holds grey or RGB of 8 or 16 bits, not 2 channels of float32; write TIFF or NPY" in done.stderr


def test_an_array_of_bands_is_translated(data: Path, floats: Path) -> None:
    model, image = i2i.load(floats / "onnx" / "a2b.onnx"), tifffile.imread(data / "five" / "val" / "4.tif")
    result = model(image)
    assert (result.dtype, result.shape) == (np.float32, (*image.shape[:2], 2))
    np.testing.assert_array_equal(model(np.stack([image, image]).astype(np.float64)), np.stack([result, result]))
    for wrong in (image[..., :4], image.astype(np.int16), np.full_like(image, np.nan)):
        with pytest.raises(i2i.ModelError, match=r"expects float32 \[h, w, 5\]"):
            model(wrong)


def test_a_bare_network_takes_the_same_images(data: Path, floats: Path, tmp_path: Path) -> None:
    spec, net = spec_of(floats / "onnx" / "a2b.onnx"), torch.nn.Conv2d(5, 2, 3, padding=1).eval()
    image = tifffile.imread(data / "five" / "val" / "4.tif")
    files = [export_network(net, replace(spec, io=io), tmp_path / f"{io}.onnx") for io in ("pixels", "tensor")]
    pixels, bare = (i2i.load(file)(image) for file in files)
    spans = 2 * np.array(spec.target.half)
    assert np.abs((pixels - bare) / spans).max() < 1e-5
    assert (np.ptp(pixels, (0, 1)) / spans > 0.1).all()


def test_another_precision_is_measured_in_levels_of_each_range(floats: Path, data: Path, tmp_path: Path) -> None:
    file = i2i.export(floats / "onnx" / "a2b.onnx", tmp_path / "half.onnx", precision="fp16", calibrate=data / "five")
    loss = spec_of(file).loss
    assert loss["psnr"] > 60
    assert loss["largest"] < 1


def test_the_sheet_shows_the_channels_that_are_chosen() -> None:
    image = torch.linspace(-1, 1, 5)[:, None, None].expand(5, 2, 3)
    assert to_pixels(image)[0, 0].tolist() == [0, 64, 128]
    assert to_pixels(image, (4, 2, 0))[0, 0].tolist() == [255, 128, 0]
    assert to_pixels(image, (4,)).shape == (2, 3, 1)
    assert to_pixels(image[:2]).shape == (2, 3, 1)
    assert to_pixels(image[:2], (4, 2, 0)).shape == (2, 3, 1)
    assert to_pixels(image[:4], alpha=False)[0, 0].tolist() == [0, 64, 128]
    assert to_pixels(image[:4], alpha=True)[0, 0].tolist() != [0, 64, 128]


@pytest.mark.parametrize("given", ["0,1,2", "1,2", "a", "1,2,3,4"])
def test_other_channels_of_a_sheet_are_refused(data: Path, tmp_path: Path, given: str) -> None:
    with pytest.raises(ValueError, match=f"sheet_channels is '{given}'; expected one number or three, from 1"):
        train("pix2pix", a=data / "five", b=data / "two", out=tmp_path / "run", sheet_channels=given, **TINY)


def test_a_resumed_run_keeps_its_range(data: Path, tmp_path: Path) -> None:
    options = {"a": data / "grey", "b": data / "other", "out": tmp_path / "run", "generator": "resnet_1"} | TINY
    train("cyclegan", range="a=0..4095", **options)
    with pytest.raises(ValueError, match=r"range: a=0\.\.4095 -> a=0\.\.1023"):
        train("cyclegan", range="a=0..1023", override=True, **options)
    options["steps"] = 4
    run = train("cyclegan", **options)
    facts = json.loads((run / "run.json").read_text())
    assert facts["step"] == 4
    assert facts["source"]["range"] == [[0.0, 4095.0]]
    assert "range" not in facts["target"]


@pytest.mark.parametrize("file", ["", "onnx/a2b.onnx"], ids=["run", "file"])
def test_a_student_of_bands_has_the_domains_of_its_teacher(data: Path, floats: Path, tmp_path: Path, file: str) -> None:
    options = {"teacher": floats / file, "generator": "resnet_1", "ngf": 2} | {
        k: TINY[k] for k in ("size", "workers", "quiet")
    }
    run = train("distill", a=data / "five" / "val", out=tmp_path / "run", steps=2, sample_every=0, **options)
    net, spec = load_generators(run)["a2b"]
    theirs = spec_of(floats / "onnx" / "a2b.onnx")
    assert replace(spec.source, name="five") == replace(theirs.source, name="five")
    assert spec.target == theirs.target
    assert net(torch.zeros(1, 5, 32, 32)).shape == (1, 2, 32, 32)
    with pytest.raises(ValueError, match="the teacher takes 5 channels of float32, and these images are 16-bit grey"):
        train("distill", a=data / "grey" / "val", out=tmp_path / "other", steps=2, **options)


def test_evaluations_of_bands_are_refused(data: Path, tmp_path: Path, floats: Path) -> None:
    with pytest.raises(
        ValueError, match="eval_every measures pictures, grey or RGB, and five has 5 channels of float32"
    ):
        train("pix2pix", a=data / "five", b=data / "two", out=tmp_path / "run", eval_every=1, **TINY)
    with pytest.raises(i2i.I2IError, match="an evaluation is of pictures"):
        i2i.evaluate(floats, a=data / "five", b=data / "two", split="val")
