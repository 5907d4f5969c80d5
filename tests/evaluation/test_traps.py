"""Traps of evaluation, and input that cannot be measured: each warned of or refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx import helper

import i2i
from i2i.data.layout import Source
from i2i.evaluation.pictures import read, resize
from i2i.evaluation.protocol import LOSSY
from i2i.evaluation.sources import from_data
from i2i.images import Image, read_image, write_image
from i2i.images.formats.table import FORMATS
from tests import tiny
from tests.conftest import Command
from tests.evaluation.conftest import Folder, drawing


def warnings(**arguments: object) -> list[str]:
    return i2i.evaluate(**arguments).tables[0].warnings  # type: ignore[arg-type]


def test_jpeg_results_against_png_references(folder: Folder, features: str) -> None:
    real = folder("real", range(8))
    assert FORMATS.keys() >= LOSSY
    lossy = folder("lossy", range(8), suffix=".jpg")
    found = warnings(real=real, fake=lossy, features=features)
    assert found[0].startswith("the results are JPEG and the real images PNG: lossy compression alone changes")
    for honest in ({"real": real, "fake": real}, {"real": lossy, "fake": lossy}, {"real": lossy, "fake": real}):
        assert not any("lossy" in text for text in warnings(**honest, features=features))


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    """Stripes of a pixel become grey at half the size; a filter that does not widen keeps one of the two colours."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, 29, 29) - 127.5).max() < 20
    aliased = cv2.resize(stripes, (29, 29), interpolation=cv2.INTER_CUBIC)
    assert np.abs(aliased - 127.5).max() > 100
    photo = drawing(3, 64)
    assert resize(photo, 64, 64).dtype == np.float32
    assert (resize(photo, 64, 64) == photo).all()
    deep = photo.astype(np.uint16) * 257
    assert np.abs(resize(deep, 20, 30) / 257 - resize(photo, 20, 30)).max() < 1e-3


def test_a_reduced_copy_is_nearly_the_same_to_the_features(folder: Folder, features: str) -> None:
    """As networks of one size see it; without antialiasing the fine texture would be another."""

    def textured(pixels: np.ndarray) -> np.ndarray:
        texture = 40 * (-1) ** np.add.outer(np.arange(len(pixels)), np.arange(len(pixels)))
        return np.clip(pixels + texture[..., None], 0, 255).astype(np.uint8)

    large = folder("large", range(12), textured, size=100)
    plain = folder("plain", range(12), size=100)
    found = i2i.evaluate(real=plain, fake=large, features=features, metrics="FD,MIND")
    apart = i2i.evaluate(
        real=plain, fake=folder("others", range(20, 32), size=100), features=features, metrics="FD,MIND"
    )
    assert found["FD"].value < 0.1 * apart["FD"].value
    assert found["MIND"].value < 0.1 * apart["MIND"].value


def test_different_sizes(folder: Folder, features: str, i2i_inside: Command) -> None:
    real, small = folder("real", range(8), size=64), folder("small", range(8))
    done = i2i_inside("evaluate", "--real", real, "--fake", small, "--features", features)
    assert (done.returncode, done.stdout) == (2, "")
    assert "000.png is 32x32 and its truth" in done.stderr
    assert "64x64; pairs are compared at one size: --size HEIGHTxWIDTH brings both to it" in done.stderr
    found = warnings(real=real, fake=small, paired=False, features=features)
    assert found[0].startswith("most results are 32x32 and most real images 64x64: sharpness alone")
    sized = i2i.evaluate(real=real, fake=small, features=features, size=32).tables[0]
    assert "SSIM" in sized.figures
    assert not any("sharpness" in text for text in sized.warnings)
    assert "resized to cover 32x32 (Pillow bicubic, antialiased) and cropped at the centre" in sized.protocol.line


def test_kid_subsets_larger_than_the_set(folder: Folder, features: str, i2i_inside: Command) -> None:
    real, fake = folder("real", range(8)), folder("fake", range(12))
    done = i2i_inside("evaluate", "--real", real, "--fake", fake, "--features", features, "--kid-subset", 9)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a subset of size 9; expected 2 to 8, the size of the smaller set" in done.stderr


def test_training_images_among_the_measured_ones(folder: Folder, features: str, tmp_path: Path) -> None:
    """Found by their pixels, whatever their names and formats; also as halves of files side by side."""
    real = folder("real", range(8))
    train = folder("train", range(20, 24))
    assert not any("trained on" in text for text in warnings(real=real, fake=real, train=train, features=features))
    write_image(train / "copy.tiff", Image(drawing(5)))
    found = warnings(real=real, fake=real, train=train, features=features)
    assert found[0].startswith("1 of 8 measured images were trained on")
    assert found[0].endswith("005.png = copy.tiff")

    for split, numbers in (("train", (1, 2)), ("test", (2, 3))):
        (tmp_path / "pairs" / split).mkdir(parents=True)
        for n in numbers:
            both = np.hstack([drawing(n), 255 - drawing(n)])
            write_image(tmp_path / "pairs" / split / f"{split}-{n}.png", Image(both))
    model = tiny.inverter(tmp_path / "m.onnx")
    found = warnings(model=model, data=tmp_path / "pairs", features=features)
    assert found[0].startswith("2 of 4 measured images were trained on")
    assert not any("trained on" in text for text in warnings(
        model=model, data=tmp_path / "pairs", features=features, split="train", metrics="L1"
    ))  # fmt: skip


def test_training_images_of_which_alpha_alone_differs(folder: Folder, features: str, tmp_path: Path) -> None:
    """Icons of one colour; those that are opaque everywhere are the same with and without alpha."""
    for name, numbers in (("real", range(4)), ("train", range(3, 6))):
        (tmp_path / name).mkdir()
        for n in numbers:
            alpha = drawing(n)[..., 0]
            write_image(tmp_path / name / f"{name}{n}.png", Image(np.zeros((32, 32, 3), np.uint8), alpha))
    given = {"real": tmp_path / "real", "fake": tmp_path / "real", "train": tmp_path / "train", "features": features}
    found = warnings(**given)
    assert found[0].startswith("1 of 4 measured images were trained on")
    assert found[0].endswith("real3.png = train3.png")
    write_image(tmp_path / "train" / "opaque.png", Image(drawing(9), np.full((32, 32), 255, np.uint8)))
    assert read(Source(tmp_path / "train" / "opaque.png", ""))[1] == read(Source(folder("x", [9]) / "009.png", ""))[1]


def test_training_images_beside_those_that_a_run_recorded(folder: Folder, features: str, tmp_path: Path) -> None:
    """--train adds to them, and the mean image stays that of the targets."""
    folder("d/trainA", range(3))
    folder("d/trainB", range(3), lambda x: x // 2)
    folder("d/testA", range(2, 5))
    folder("d/testB", range(5, 8))
    model, more = tiny.inverter(tmp_path / "m.onnx"), folder("more", [5], lambda x: 255 - x // 9)
    write_image(more / "again.png", Image(drawing(5)))
    given = {"model": model, "data": tmp_path / "d", "features": features, "baseline": True, "metrics": "edges,MIND"}
    plain, found = i2i.evaluate(**given).tables[0], i2i.evaluate(**given, train=more).tables[0]
    assert plain.warnings[0].startswith("1 of 6 measured images were trained on")
    assert found.warnings[0].startswith("2 of 6 measured images were trained on")
    assert found.figures["MIND"]["the mean training image"] == plain.figures["MIND"]["the mean training image"]
    for name in ("b", "other"):
        folder(f"named/{name}", range(3), (lambda x: x // 2) if name == "b" else lambda x: 255 - x)
    given |= {"data": None, "a": tmp_path / "d" / "testA", "b": folder("b", range(5, 8)), "train": tmp_path / "named"}
    by_name = i2i.evaluate(**given).tables[0]
    assert by_name.figures["MIND"]["the mean training image"] == plain.figures["MIND"]["the mean training image"]


def test_warnings_about_the_results_of_a_model(
    folder: Folder, features: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("i2i.evaluation.protocol.FEW", 5)
    given = {"model": tiny.inverter(tmp_path / "m.onnx"), "features": features, "metrics": "FD,edges", "paired": False}
    few, many, real = folder("few", range(3)), folder("many", range(6)), folder("real", range(6, 14))
    assert any("the Frechet distance is biased" in text for text in warnings(**given, a=few, b=real))
    assert not any("the Frechet distance is biased" in text for text in warnings(**given, a=many, b=real))
    large = folder("large", range(6, 14), size=64)
    expected = "most results are 32x32 and most real images 64x64: sharpness alone"
    assert any(text.startswith(expected) for text in warnings(**given, a=many, b=large))
    assert not any("sharpness" in text for text in warnings(**given, a=many, b=real))


def test_derived_pairs_are_not_guessed(folder: Folder) -> None:
    data = folder("d/test", range(4)).parent
    assert from_data(data, None, None, "test", "a2b", None, derive="grey").guessed is False
    assert from_data(None, data / "test", folder("b", range(4)), None, "a2b", None).guessed


def test_a_source_folder_with_fewer_images_than_the_results(folder: Folder, features: str, i2i_inside: Command) -> None:
    fake, source = folder("fake", range(9)), folder("source", range(7))
    done = i2i_inside("evaluate", "--real", fake, "--fake", fake, "--source", source, "--features", features)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"007.png: no source of this name in {source} (nor for 1 more); 9 results and 7 sources" in done.stderr
    found = warnings(real=fake, fake=source, source=fake, features=features)
    assert found[0].startswith("2 sources of 9 in ")


def test_images_that_only_share_their_numbers(folder: Folder, features: str, tmp_path: Path) -> None:
    real = folder("real", range(4))
    fake = folder("fake", range(4), lambda x: 255 - x)
    note = "compared as pairs, since the numbers in their names match; if they are none, give --unpaired"
    assert note in warnings(real=real, fake=fake, features=features)
    for given in (True, False):
        assert note not in warnings(real=real, fake=fake, features=features, paired=given)
    model = tiny.inverter(tmp_path / "m.onnx")
    assert note in warnings(model=model, a=real, b=fake, features=features)
    for side in (real, fake):
        for path in list(side.iterdir()):
            path.rename(side / f"cat-{path.name}")
    assert note not in warnings(real=real, fake=fake, features=features)
    assert note not in warnings(model=model, a=real, b=fake, features=features)


def test_realism_without_content_comes_with_a_warning(folder: Folder, features: str) -> None:
    real, fake = folder("real", range(8)), folder("fake", range(8, 16))
    assert any(text.endswith("--source DIR adds content") for text in warnings(real=real, fake=fake, features=features))
    given = {"real": real, "fake": fake, "source": fake, "features": features}
    assert not any(text.startswith("realism alone") for text in warnings(**given))
    assert any(text.endswith("measure content too") for text in warnings(**given, metrics="KID"))


def test_only_training_data(folder: Folder, features: str, tmp_path: Path) -> None:
    folder("d/trainA", range(3))
    folder("d/trainB", range(3))
    model = tiny.inverter(tmp_path / "m.onnx")
    with pytest.raises(i2i.DataError, match=r"no 'test' or 'val' split here; a translator is measured on images that"):
        i2i.evaluate(model, data=tmp_path / "d", features=features)
    assert (
        i2i.evaluate(model, data=tmp_path / "d", split="train", features=features).tables[0].protocol.split == "train"
    )


def _run(path: Path, spec: i2i.Spec, **data: str) -> Path:
    """Write a finished run that was trained on these folders."""
    (path / "onnx").mkdir(parents=True)
    write = tiny.brighter if spec.domains else tiny.inverter
    write(path / "onnx" / f"{spec.direction}.onnx", spec)
    settings = {"data": None, "a": None, "b": None, "direction": "a2b"} | data
    method = "stargan" if spec.domains else "cyclegan"
    (path / "run.json").write_text(json.dumps({"method": method, "status": "finished", "settings": settings}))
    return path


def test_the_folders_that_a_run_was_trained_on(folder: Folder, features: str, tmp_path: Path) -> None:
    """Folders without splits are training images for the run that recorded them, whatever their names."""
    a, b = folder("noto", range(3)), folder("twemoji", range(3, 6))
    run = _run(tmp_path / "runs" / "r", tiny.replace(tiny.RGB, direction="a2b"), a=str(a), b=str(b))
    with pytest.raises(i2i.DataError, match=r"noto: no 'test' or 'val' split here; a translator is measured on images"):
        i2i.evaluate(run, features=features)
    assert i2i.evaluate(run, split="train", features=features).tables[0].protocol.results == 3
    (given,) = i2i.evaluate(run, a=a, b=b, features=features).tables
    assert given.protocol.results == 3, "folders that the user names are measured as they are"
    assert given.warnings[0].startswith("6 of 6 measured images were trained on"), "but the run knows them"
    facts = json.loads((run / "run.json").read_text()) | {"validation": {"images": {"a": ["001.png"], "b": []}}}
    (run / "run.json").write_text(json.dumps(facts))
    assert warnings(model=run, a=a, b=b, features=features)[0].startswith("5 of 6 measured images were trained on")
    other = folder("other", range(7, 10))
    assert warnings(model=run, a=a, b=other, features=features)[0].startswith("2 of 6 measured images were trained on")
    found = warnings(model=run, a=other, b=folder("more", range(10, 13)), features=features)
    assert not any("trained on" in text for text in found)


def test_a_run_knows_the_images_of_the_run_it_started_from(folder: Folder, features: str, tmp_path: Path) -> None:
    a, b, c, d = (folder(name, range(3 * n, 3 * n + 3)) for n, name in enumerate("abcd"))
    spec = tiny.replace(tiny.RGB, direction="a2b")
    parent = _run(tmp_path / "runs" / "parent", spec, a=str(a), b=str(b))
    (parent / "weights").mkdir()
    for name, source in (("of-run", parent), ("of-file", parent / "weights" / "a2b.safetensors")):
        child = _run(tmp_path / "runs" / name, spec, a=str(c), b=str(d), from_=str(source))
        found = warnings(model=child, a=a, b=folder("new", range(20, 23)), features=features)
        assert found[0].startswith("3 of 6 measured images were trained on")
    b.rename(tmp_path / "elsewhere")
    found = warnings(model=child, a=c, b=d, features=features)
    assert any(text.startswith(f"the images that {parent} was trained on are not at hand") for text in found)
    assert not any("not at hand" in text for text in warnings(model=child, a=c, b=d, train=d, features=features))


def test_a_student_knows_the_images_of_its_teacher(folder: Folder, features: str, tmp_path: Path) -> None:
    a, b = folder("a", range(3)), folder("b", range(3, 6))
    run = _run(tmp_path / "runs" / "s", tiny.replace(tiny.RGB, direction="a2b"), data=str(a), teacher="t.onnx")
    assert warnings(model=run, a=a, b=b, features=features)[0].startswith("3 of 6 measured images were trained on")
    with pytest.raises(i2i.DataError, match="its targets were made by a teacher, so it knows no real images of them"):
        i2i.evaluate(run, features=features)


def test_a_damaged_training_image_is_named(folder: Folder, features: str) -> None:
    real, train = folder("real", range(8)), folder("train", range(20, 23))
    (train / "021.png").write_bytes((train / "021.png").read_bytes()[:40])
    found = warnings(real=real, fake=real, train=train, features=features)
    assert "1 training image cannot be read, and no measured one was compared with them: 021.png" in found


def test_real_images_count_once(folder: Folder, features: str) -> None:
    """Also those that are the truth of a result, where there are fewer results."""
    real, fake = folder("real", range(16)), folder("fake", range(8), lambda x: 255 - x)
    as_pairs, alone = (
        i2i.evaluate(real=real, fake=fake, features=features, paired=paired, metrics=["KID", "coverage", "FD"])
        for paired in (None, False)
    )
    assert as_pairs.tables[0].protocol.paired
    for metric in ("KID", "coverage", "FD"):
        assert as_pairs[metric].value == pytest.approx(alone[metric].value)


def test_the_domains_that_a_run_was_trained_on(folder: Folder, features: str, tmp_path: Path) -> None:
    for n, name in enumerate(tiny.WEATHER.domains):
        folder(f"weather/{name}", range(3 * n, 3 * n + 3))
    run = _run(tmp_path / "runs" / "r", tiny.WEATHER, data=str(tmp_path / "weather"))
    with pytest.raises(i2i.DataError, match=r"weather: no 'test' or 'val' split here; a translator is measured on"):
        i2i.evaluate(run, to="rain", features=features)
    assert i2i.evaluate(run, to="rain", split="train", features=features).tables[0].protocol.results == 6
    (other,) = i2i.evaluate(run, to="rain", data=tmp_path / "weather", features=features).tables
    assert other.protocol.results == 6, "folders that the user names are measured as they are"
    assert other.warnings[0].startswith("9 of 9 measured images were trained on"), "but the run knows them"


BAD = {
    "empty": "empty: no images in this folder",
    "missing": "missing: there is no such folder",
    "one": "nothing could be measured (KID: KID needs at least 2 results and 2 real images; there are 1 and 1; ",
    "truncated": "002.png: damaged PNG",
    "twice": "002.bmp and 002.png differ by suffix alone",
}


@pytest.mark.parametrize("case", BAD)
def test_folders_that_cannot_be_measured(
    case: str, folder: Folder, features: str, tmp_path: Path, i2i_inside: Command
) -> None:
    real = folder("real", range(1 if case == "one" else 6))
    fake = real if case == "one" else folder(case, range(6)) if case in ("truncated", "twice") else tmp_path / case
    if case == "empty":
        fake.mkdir()
    if case == "truncated":
        (fake / "002.png").write_bytes((real / "002.png").read_bytes()[:400])
    if case == "twice":
        write_image(fake / "002.bmp", Image(drawing(2)))
    out = tmp_path / "out" / "metrics.json"
    out.parent.mkdir()
    words = ["--unpaired", "--features", features, "-o", out]
    done = i2i_inside("evaluate", "--real", real, "--fake", fake, *words)
    assert (done.returncode in (1, 2), done.stdout) == (True, "")
    assert BAD[case] in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(out.parent.iterdir())


def test_one_pair_is_measured_by_what_needs_no_more(folder: Folder, features: str) -> None:
    real = folder("real", range(1))
    found = i2i.evaluate(real=real, fake=real, features=features)
    assert found["SSIM"].value == pytest.approx(1)
    assert found["SSIM"].low is None
    assert "needs at least 2 results" in found.tables[0].left_out["KID"]
    assert found["PSNR"].value == 100


def test_features_that_are_not_finite(folder: Folder, tmp_path: Path) -> None:
    real = folder("real", range(3))
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["t", "zero"], ["maps"]),
    ]
    path = tmp_path / "nan.onnx"
    outputs = [("maps", "float32", ["n", 3, 32, 32])]
    tiny.write(path, nodes, None, {"zero": np.float32(0)}, [("x", "float32", ["n", 32, 32, 3])], outputs)
    with pytest.raises(i2i.ModelError, match=r"000.png: values of nan are not finite"):
        i2i.evaluate(real=real, fake=real, features=f"onnx:{path}")


def test_a_result_that_is_not_finite_names_its_source(folder: Folder, features: str, tmp_path: Path) -> None:
    folder("a", range(2))
    folder("b", range(2))
    write_image(tmp_path / "a" / "white.png", Image(np.full((32, 32, 3), 255, np.uint8)))
    model = tiny.checkerboard(tmp_path / "m.onnx")
    with pytest.raises(i2i.ModelError, match=r"white.png: non-finite output"):
        i2i.evaluate(model, a=tmp_path / "a", b=tmp_path / "b", features=features)


WRONG = [
    ({}, "nothing to evaluate: give a model, or the folders --real DIR and --fake DIR"),
    ({"real": "R"}, "nothing to evaluate"),
    ({"model": "M"}, "only a run knows its own"),
    ({"model": "M", "fake": "R"}, "give a model, or the results of one with --fake, not both"),
    ({"model": "M", "real": "R"}, "give --source DIR beside --real DIR"),
    ({"model": "M", "source": "R", "a": "R", "b": "R"}, "give --real DIR beside it, or all images by --data DIR"),
    ({"model": "M", "real": "R", "source": "R", "data": "R"}, "and so do --data, --a and --b; give one or the other"),
    ({"real": "R", "fake": "R", "data": "R"}, "--data, --a and --b are for a model"),
    ({"real": "R", "fake": "R", "metrics": "IS"}, "no metric 'IS'"),
    ({"real": "R", "fake": "R", "metrics": "flicker"}, "nothing could be measured (flicker needs a video"),
    ({"real": "R", "fake": "R", "metrics": "edges"}, "edges needs the source images, with --fake as --source DIR"),
    ({"real": "R", "fake": "R", "features": "vgg"}, "expected lite0, onnx:FILE or inception:FILE"),
    ({"real": "R", "fake": "R", "size": 0}, "expected at least 1 pixel"),
    ({"video": ["R"]}, "--video needs a model"),
    ({"model": "M", "video": ["R"], "metrics": "KID"}, "flicker is for videos"),
    ({"model": "F", "data": "R"}, "a model of attributes, which have no folder of real images"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_arguments_that_do_not_belong_together(
    arguments: dict[str, object], message: str, folder: Folder, features: str, tmp_path: Path
) -> None:
    places = {
        "R": folder("real", range(3)),
        "M": tiny.inverter(tmp_path / "m.onnx"),
        "F": tiny.brighter(tmp_path / "f.onnx", tiny.FACES),
    }
    given = {"features": features} | {name: places.get(str(value), value) for name, value in arguments.items()}
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        i2i.evaluate(**given)  # type: ignore[arg-type]


def test_an_output_that_cannot_be_written_is_known_before_the_work(folder: Folder, i2i_inside: Command) -> None:
    real = folder("real", range(3))
    done = i2i_inside("evaluate", "--real", real, "--fake", real, "-o", real / "none" / "m.json")
    assert done.returncode == 2
    assert "none: there is no such folder to write m.json to" in done.stderr


def test_pairs_in_folders_of_other_suffixes(folder: Folder, features: str) -> None:
    """The suffix is no part of a name, and pixels are compared in the form of the truth."""
    real = folder("real", range(3))
    fake = folder("fake", range(3), lambda x: x.astype(np.uint16) * 257, suffix=".tiff")
    assert read_image(fake / "000.tiff").bits == 16
    assert i2i.evaluate(real=real, fake=fake, features=features)["L1"].value == 0


def test_a_derived_source_is_made_at_the_size_at_which_it_is_measured(tmp_path: Path) -> None:
    """Made before the reduction by 8, noise of 20 levels would be one of about 2.5."""
    write_image(tmp_path / "grey.png", Image(np.full((256, 256, 3), 128, np.uint8)))
    picture, _ = read(Source(tmp_path / "grey.png", "grey.png", derive="noise:20"), (32, 32))
    assert picture.pixels.shape == (32, 32, 3)
    assert picture.pixels.std() == pytest.approx(20, rel=0.1)
