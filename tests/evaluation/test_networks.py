"""Networks that look at images: lite0 on photos of known class, files that are missing or damaged, caches."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import i2i
from i2i.evaluation import inception, lite0, networks
from i2i.evaluation.networks import Network, open_features
from i2i.evaluation.pictures import Picture
from i2i.evaluation.state_dict import read_state_dict
from i2i.images import Image, list_images, read_image
from tests import tiny
from tests.evaluation.conftest import Folder

CATS, DOGS, WILD = set(range(281, 286)), set(range(151, 276)), set(range(269, 281)) | set(range(286, 294))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_lite0_recognises_photos_of_known_class(cache: Path, reference: Callable[[str], Path]) -> None:
    """Its 1,000 classes are ImageNet's: house cats, dogs, and foxes and big cats."""
    extractor = open_features("lite0", "cpu")
    (file,) = cache.iterdir()
    logits = Network("lite0", file, "", "cpu")
    right = {}
    for kind, classes in (("cat", CATS), ("dog", DOGS), ("wild", WILD)):
        photos = list_images(reference(f"data/afhq_mini/val/{kind}"))
        seen = [int(logits.run(Picture(read_image(photo), photo.name))[-1].argmax()) for photo in photos]
        right[kind] = sum(each in classes for each in seen)
    assert right == {"cat": 4, "dog": 5, "wild": 5}  # of 5 each; one cat is taken for a lynx
    vector, maps = extractor(Picture(read_image(photos[0]), "photo"))
    assert vector.shape == (1280,)
    assert [each.shape for each in maps] == [(16, 112, 112), (24, 56, 56), (40, 28, 28), (112, 14, 14), (320, 7, 7)]
    assert extractor.digest == lite0.SHA256
    written = file.stat().st_mtime_ns
    open_features("lite0", "cpu")
    assert [each.stat().st_mtime_ns for each in cache.iterdir()] == [written]  # built once


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "file"))
    assert open_features("lite0", "cpu").size == (224, 224)


def test_the_package_is_missing(monkeypatch: pytest.MonkeyPatch, folder: Folder) -> None:
    """One sentence where features were asked for or nothing is left without; else pixels are measured, with a note."""
    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    real = folder("real", range(3))
    for given in ({"features": "lite0"}, {"metrics": "KID"}):
        with pytest.raises(i2i.DataError, match=r"which is not installed: pip install \"i2i\[evaluate\]\"; or give a"):
            i2i.evaluate(real=real, fake=real, **given)
    found = i2i.evaluate(real=real, fake=real)
    assert found["L1"].value == 0
    assert "KID" not in found.tables[0].figures
    assert found.tables[0].left_out["KID"].startswith("no features are installed: pip install")
    assert found.tables[0].protocol.features is None
    with pytest.raises(i2i.DataError, match=r"nothing could be measured \(KID: no features are installed"):
        i2i.evaluate(real=real, fake=real, paired=False)


def test_weights_that_are_not_the_published_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    with pytest.raises(i2i.DataError, match=r"no such file; get pt_inception-2015-12-05-6726825d.pth, the weights"):
        open_features(f"inception:{tmp_path / 'none.pth'}")
    (tmp_path / "other.pth").write_bytes(b"something else")
    with pytest.raises(
        i2i.DataError, match=r"not the weights of inception: its SHA-256 begins with \w{8}, that of the"
    ):
        open_features(f"inception:{tmp_path / 'other.pth'}")
    monkeypatch.setattr(networks, "_lite0_file", lambda: tmp_path / "other.pth")
    with pytest.raises(i2i.DataError, match=r"get the file again \(pip install"):
        open_features("lite0")
    assert not cache.exists()


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        (["n", "c", "h", "w"], "float32", r"expected pixels of 0 to 255, uint8 or float32, \[n, h, w, 3\]"),
        (["n", 3, "h", "w"], "float16", "takes float16"),
        (["n", 3], "float32", "expected one input"),
    ],
)
def test_onnx_files_that_are_no_extractor(shape: list[object], kind: str, message: str, tmp_path: Path) -> None:
    from onnx import helper

    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    path = tiny.write(tmp_path / "m.onnx", nodes, None, {}, [("x", kind, shape)], [("y", kind, shape)])
    with pytest.raises(i2i.ModelError, match=message):
        open_features(f"onnx:{path}")
    with pytest.raises(i2i.ModelError, match="no such model file"):
        open_features(f"onnx:{tmp_path / 'none.onnx'}")


def test_channels_first_and_bytes_see_the_same_pixels(tmp_path: Path) -> None:
    from onnx import helper

    picture = Picture(Image(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)), "p")
    for shape, axes in ((["n", 3, "h", "w"], [2, 3]), (["n", "h", "w", 3], [1, 2])):
        for kind in ("uint8", "float32"):
            nodes = [
                helper.make_node("Cast", ["x"], ["f"], to=1),
                helper.make_node("ReduceMean", ["f", "axes"], ["y"], keepdims=0),
            ]
            path = tiny.write(
                tmp_path / f"{kind}{axes[0]}.onnx", nodes, None, {"axes": np.array(axes)}, [("x", kind, shape)],
                [("y", "float32", ["n", 3])],
            )  # fmt: skip
            extractor = open_features(f"onnx:{path}")
            assert extractor.size is None
            assert not extractor.has_maps
            assert extractor(picture)[0].tolist() == [22.5, 23.5, 24.5]


@pytest.mark.slow
def test_state_dicts_without_pytorch(tmp_path: Path) -> None:
    """Of both formats, as PyTorch writes them: views, types, and the same numbers."""
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {"a": base, "b": base[1:3, ::2].t(), "c": torch.tensor(7), "d": torch.ones(3, dtype=torch.float16)}
    for new in (False, True):
        path = tmp_path / f"{new}.pth"
        torch.save(tensors, path, _use_new_zipfile_serialization=new)
        found = read_state_dict(path)
        assert {name: value.tolist() for name, value in found.items()} == {n: t.tolist() for n, t in tensors.items()}


class Harm:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("harm",))


def test_a_state_dict_can_call_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "harm.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("harm/data.pkl", pickle.dumps({"a": Harm()}))
    with pytest.raises(ValueError, match=r"harm.pth: not the state dict .* it names builtins.print"):
        read_state_dict(path)
    assert capsys.readouterr().out == ""
    path.write_bytes(pickle.dumps(1) + io.BytesIO().getvalue())
    with pytest.raises(ValueError, match="its magic number is another"):
        read_state_dict(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="or a damaged one"):
        read_state_dict(path)


@pytest.mark.slow
def test_the_network_of_fid_is_that_of_torch_fidelity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path, folder: Folder
) -> None:
    """With random weights in a file of that layout, at the network's own size, where no resizing differs."""
    torch = pytest.importorskip("torch")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    monkeypatch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    monkeypatch.setattr(torch, "load", lambda *_, **__: {})
    torch.manual_seed(0)
    theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], "none")
    state = theirs.state_dict()
    for name, value in state.items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.05)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("bn.weight"):
            value.uniform_(0.8, 1.6)
    torch.save(state, tmp_path / "inception.pth")
    monkeypatch.setattr(inception, "SHA256", networks._digest(tmp_path / "inception.pth"))
    extractor = open_features(f"inception:{tmp_path / 'inception.pth'}", "cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (299, 299, 3)).astype(np.uint8)
    expected = theirs(torch.from_numpy(pixels).permute(2, 0, 1)[None])[0][0].numpy()
    vector, maps = extractor(Picture(Image(pixels), "noise"))
    assert vector == pytest.approx(expected, rel=1e-3, abs=float(1e-4 * np.abs(expected).max()))
    assert [each.shape for each in maps] == [(288, 35, 35), (768, 17, 17), (2048, 8, 8)]
    real = folder("real", range(3))
    found = i2i.evaluate(real=real, fake=real, features=f"inception:{tmp_path / 'inception.pth'}", metrics="FID,KID")
    assert [found.tables[0].label(name) for name in found.tables[0].figures] == ["KID-inception x1000", "FID"]
