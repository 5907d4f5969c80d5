"""``i2i evaluate`` as users call it: figures with known answers, on drawings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import i2i
from i2i.data.layout import Source
from i2i.evaluation.pictures import read
from i2i.evaluation.results import RESULT, beside
from i2i.images import Image, read_image, write_image
from i2i.sampling import latent
from tests import tiny
from tests.conftest import Command
from tests.evaluation.conftest import Folder, drawing


def negative(pixels: np.ndarray) -> np.ndarray:
    return 255 - pixels


def test_a_model_on_pairs_beside_the_baselines(folder: Folder, features: str, tmp_path: Path) -> None:
    """Each truth is one level below the negative; the training targets are the drawings 20 to 23."""
    folder("d/testA", range(12))
    folder("d/testB", range(12), lambda x: 254 - np.minimum(x, 254))
    folder("d/trainA", range(20, 24), negative)
    folder("d/trainB", range(20, 24))
    model = tiny.inverter(tmp_path / "m.onnx")
    found = i2i.evaluate(model, data=tmp_path / "d", features=features, baseline=True)
    (table,) = found.tables
    assert (table.protocol.paired, table.protocol.split, table.protocol.results) == (True, "test", 12)
    assert table.candidates == [RESULT, "the input itself", "the mean training image"]
    assert found["L1"].value == pytest.approx(1 / 255, rel=0.01)
    assert found["PSNR"].value == pytest.approx(20 * np.log10(255), rel=0.01)
    truths = [254.0 - drawing(n) for n in range(12)]
    mean = np.rint(np.mean([drawing(n).astype(float) for n in range(20, 24)], axis=0))
    by_mean = np.mean([np.abs(t - mean).mean() for t in truths]) / 255
    assert table.figures["L1"]["the mean training image"].value == pytest.approx(by_mean, rel=1e-6)
    by_input = np.mean([np.abs(t - drawing(n)).mean() for n, t in enumerate(truths)]) / 255
    assert table.figures["L1"]["the input itself"].value == pytest.approx(by_input, rel=1e-6)
    assert table.wins("L1") == 1
    assert table.figures["structure"]["the input itself"].value == pytest.approx(0, abs=1e-6)
    assert table.figures["edges"]["the input itself"].value == pytest.approx(1)
    assert found["edges"].value > 0.99  # of a negative
    assert found["FD"].value < table.figures["FD"]["the input itself"].value
    assert table.warnings[0].startswith("of fewer images than 2,000 the Frechet distance")
    assert "MS-SSIM needs at least 176x176" in table.left_out["MS-SSIM"]


def test_a_model_with_styles_is_measured_in_that_of_seed_0(folder: Folder, features: str, tmp_path: Path) -> None:
    model = tiny.styled(tmp_path / "night.onnx")
    assert tiny.STYLED.style is not None
    step = np.rint(10 * latent(tiny.STYLED.style, [0])[0]).astype(np.uint8)
    folder("d/testA", range(12), lambda x: x // 2)
    folder("d/testB", range(12), lambda x: x // 2 + step)
    found = i2i.evaluate(model, data=tmp_path / "d", features=features)
    assert found["L1"].value == 0
    other = i2i.evaluate(i2i.load(model).styled(seed=1), data=tmp_path / "d", features=features)
    off = np.rint(10 * latent(tiny.STYLED.style, [1])[0]) - step
    assert other["L1"].value == pytest.approx(np.abs(off).mean() / 255)


def test_json_has_the_figures_that_are_printed(
    folder: Folder, features: str, tmp_path: Path, i2i_inside: Command
) -> None:
    folder("a", range(10))
    folder("b", range(10, 22), negative)
    model = tiny.inverter(tmp_path / "m.onnx")
    out = tmp_path / "metrics.json"
    words = ["evaluate", model, "--a", tmp_path / "a", "--b", tmp_path / "b", "--features", features, "-o", out]
    done = i2i_inside(*words)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    (table,) = found["tables"]
    assert (found["i2i"], found["model"]) == (i2i.__version__, str(model))
    assert done.stdout.splitlines()[-1] == f"protocol: {table['protocol_line']}"
    kid = table["metrics"]["KID"]
    assert (kid["name"], kid["scale"], kid["better"], kid["section"]) == ("KID-squares x1000", 1000, "lower", "realism")
    figure = kid["candidates"][RESULT]
    assert figure["low"] < figure["value"] < figure["high"]
    assert f"| {figure['value']:.2f} ± {figure['deviation']:.2f} [" in done.stdout
    assert {row["section"] for row in table["metrics"].values()} == {"realism", "content"}
    assert list(table["by_image"][RESULT]["structure"]) == [f"{n:03}.png" for n in range(10)]
    line = table["protocol_line"]
    for part in (
        f"10 results against 12 real images of {tmp_path / 'b'} (content ", "no pairs", "images at their own size",
        "32x32", "not encoded against PNG", "features squares (sha256 ", "at 32x32 (Pillow bicubic, antialiased)",
        "KID of 100 subsets of 5", "seed 0",
    ):  # fmt: skip
        assert part in line
    again = i2i_inside(*words, "--beside", out, "--metrics", "edges,KID")
    assert "(measured by the same protocol)" in again.stdout
    for n in range(10, 22):  # the same real images under other names, elsewhere
        write_image(folder("c", range(0)) / f"{99 - n}.png", read_image(tmp_path / "b" / f"{n:03}.png"))
    words[words.index(tmp_path / "b")] = tmp_path / "c"
    moved = i2i_inside(*words, "--beside", out)
    assert "(measured by the same protocol)" in moved.stdout
    write_image(tmp_path / "c" / "99.png", Image(drawing(99)))
    more = i2i_inside(*words, "--beside", out)
    assert "NOT COMPARABLE, another protocol: content: " in more.stdout
    other = i2i_inside(*words, "--beside", out, "--seed", 1)
    assert "NOT COMPARABLE, another protocol: " in other.stdout
    assert "seed: 1 against 0" in other.stdout


def test_of_several_earlier_tables_the_counterpart_is_shown(folder: Folder, features: str) -> None:
    fake, real = folder("fake", range(4)), folder("real", range(4, 8))
    given = {"fake": fake, "paired": False, "features": features, "metrics": "KID"}
    (one,), (two,) = (i2i.evaluate(real=each, **given).tables for each in (real, fake))
    one.title, two.title = "of one", "of two"
    earlier = [[one.to_dict(), two.to_dict()]]
    assert "of two (measured by the same protocol)" in beside(two, earlier)
    assert "of two (measured by the same protocol)" in beside(replace(two, title="of three"), earlier)
    other = replace(two, protocol=replace(two.protocol, content="0"))
    assert "of two (NOT COMPARABLE, another protocol: content: " in beside(other, earlier)
    assert "of one (NOT COMPARABLE, another protocol: " in beside(replace(other, title="of three"), earlier)


def test_results_of_other_programs(folder: Folder, features: str) -> None:
    """The same folder against itself, a blurred copy, noise: figures in this order, with content beside realism."""
    real = folder("real", range(16))
    rng = np.random.default_rng(0)
    values = []
    for name, change in (
        ("same", lambda x: x),
        ("blurred", lambda x: cv2.GaussianBlur(x, (0, 0), 3)),
        ("noise", lambda x: rng.integers(0, 256, x.shape).astype(np.uint8)),
    ):
        fake = folder(name, range(16), change)
        found = i2i.evaluate(real=real, fake=fake, source=real, features=features)
        values.append([found[metric].value for metric in ("FD", "MIND", "KID", "structure", "L1", "perceptual")])
        assert not found.tables[0].left_out.keys() - {"MS-SSIM"}
    for worse in np.diff(values, axis=0):
        assert (worse > 0).all(), values
    assert values[0][:2] == pytest.approx([0, 0], abs=1e-6)
    assert values[0][3:] == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_run_knows_its_data_and_its_way_back(
    folder: Folder, features: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of two directions is measured on the test split that it recorded; back from a negative is the source."""
    for split, start in (("train", 30), ("test", 0)):
        folder(f"d/{split}A", range(start, start + 8))
        folder(f"d/{split}B", range(start + 8, start + 16), negative)
    run = tmp_path / "runs" / "r"
    (run / "onnx").mkdir(parents=True)
    tiny.inverter(run / "onnx" / "a2b.onnx", tiny.replace(tiny.RGB, direction="a2b"))
    tiny.inverter(run / "onnx" / "b2a.onnx", tiny.replace(tiny.RGB, direction="b2a"))
    settings = {"data": str(tmp_path / "d"), "a": None, "b": None, "direction": "a2b"}
    (run / "run.json").write_text(json.dumps({"method": "cyclegan", "status": "finished", "settings": settings}))
    found = i2i.evaluate(run, features=features)
    assert found["cycle-L1"].value == 0
    assert found.tables[0].protocol.reference == str(tmp_path / "d" / "testB")
    monkeypatch.chdir(tmp_path)
    back = i2i.evaluate("r", direction="b2a", features=features)
    assert back.tables[0].protocol.reference == str(tmp_path / "d" / "testA")
    settings["data"] = "/nowhere"
    (run / "run.json").write_text(json.dumps({"method": "cyclegan", "status": "finished", "settings": settings}))
    with pytest.raises(i2i.DataError, match=r"trained on /nowhere, which is not there; give --data DIR"):
        i2i.evaluate(run, features=features)


def test_a_judge_of_domains(folder: Folder, features: str, brightness_judge: Path, tmp_path: Path) -> None:
    """Each domain in turn; the model adds 10 for the first, so that dark stays dark and never gets bright."""
    folder("d/test/bright", range(6), lambda x: np.clip(x.astype(int) + 60, 0, 255).astype(np.uint8))
    folder("d/test/dark", range(6, 12), lambda x: x // 2)
    spec = tiny.replace(tiny.WEATHER, domains=("bright", "dark"))
    model = tiny.brighter(tmp_path / "m.onnx", spec)
    found = i2i.evaluate(model, data=tmp_path / "d", judge=brightness_judge, features=features, baseline=True)
    bright, dark = found.tables
    assert bright.title.endswith("weather -> bright")
    assert bright.figures["accuracy"][RESULT].value == 0
    assert dark.figures["accuracy"][RESULT].value == 0
    assert bright.figures["accuracy"]["real images"].value == 1
    assert bright.figures["cycle-L1"][RESULT].value == pytest.approx(30 / 255, rel=0.01)  # 10 there and 20 back
    assert "judge judge.onnx (sha256 " in bright.protocol.line
    input_is_bright = dark.figures["accuracy"]["the input itself"].value
    assert str(found).splitlines()[-1] == (
        "accuracy, the mean over 2 targets: the results 0.0 %, the input itself "
        f"{100 * input_is_bright / 2:.1f} %, the mean real image 100.0 %, real images 100.0 %"
    )
    only = i2i.evaluate(model, data=tmp_path / "d", to="dark", judge=brightness_judge, metrics="accuracy")
    assert [len(only.tables), only["accuracy"].value] == [1, 0]

    folder("d/test/snow", range(12, 18))
    wide = tiny.brighter(tmp_path / "wide.onnx", tiny.replace(tiny.WEATHER, domains=("bright", "dark", "snow")))
    found = i2i.evaluate(wide, data=tmp_path / "d", judge=brightness_judge, features=features)
    assert ["accuracy" in table.figures for table in found.tables] == [True, True, False]
    reason = "the judge knows the classes dark, bright, and 'snow' is none of them"
    assert [table.left_out.get("accuracy") for table in found.tables] == [None, None, reason]
    assert "accuracy, the mean over 2 targets: the results " in str(found)
    del found.tables[0].figures["accuracy"]["real images"]
    assert "real images" not in found.means()[0]
    with pytest.raises(i2i.DataError, match=r"knows the classes dark, bright, and neither 'snow' nor"):
        i2i.evaluate(model, data=tmp_path / "d", judge=brightness_judge, expect="snow", metrics="accuracy")


def test_domains_in_folders_with_a_letter_each(folder: Folder, features: str, tmp_path: Path) -> None:
    """As training reads them: testA, testB and so on."""
    for n, side in enumerate("ABC"):
        folder(f"d/train{side}", range(20 + n, 24 + n))
        folder(f"d/test{side}", range(3 * n, 3 * n + 3))
    model = tiny.brighter(tmp_path / "m.onnx", tiny.replace(tiny.WEATHER, domains=("a", "b", "c")))
    found = i2i.evaluate(model, data=tmp_path / "d", features=features, baseline=True)
    assert [table.protocol.reference for table in found.tables] == [str(tmp_path / f"d/test{side}") for side in "ABC"]
    assert {(table.protocol.results, table.protocol.split) for table in found.tables} == {(6, "test")}
    assert all("the mean training image" in table.candidates for table in found.tables)
    for path in (tmp_path / "d").glob("test*"):
        shutil.rmtree(path)
    with pytest.raises(i2i.DataError, match=r"no 'test' or 'val' split here"):
        i2i.evaluate(model, data=tmp_path / "d", features=features)
    trained = i2i.evaluate(model, data=tmp_path / "d", features=features, split="train", to="c")
    assert trained.tables[0].protocol.results == 8


def test_a_judge_knows_the_class_by_the_folder_of_the_source(folder: Folder, brightness_judge: Path) -> None:
    fake = folder("fake/dark", range(3), lambda x: x // 2).parent
    folder("fake/bright", range(3, 7), lambda x: x // 2)
    real = folder("real", range(3))
    found = i2i.evaluate(real=real, fake=fake, judge=brightness_judge, metrics="accuracy", expect="dark")
    assert found["accuracy"].value == 1
    found = i2i.evaluate(real=fake, fake=fake, judge=brightness_judge, metrics="accuracy")
    assert found["accuracy"].value == pytest.approx(3 / 7)
    found = i2i.evaluate(real=real, fake=fake, judge=brightness_judge, metrics="accuracy")
    assert found["accuracy"].value == pytest.approx(3 / 7)
    assert "real images" not in found.tables[0].figures["accuracy"]


def test_a_segmenter_against_label_maps(folder: Folder, red_segmenter: Path, tmp_path: Path) -> None:
    """Label maps in two colours, not exact as in JPEG; results with the disc at its place, and without any."""

    def labels(pixels: np.ndarray) -> np.ndarray:
        disc = pixels[..., 0] > 140
        return np.where(disc[..., None], (250, 12, 5), (3, 0, 240)).astype(np.uint8)

    source = folder("labels", range(5), labels)
    real = folder("real", range(5))
    palette = tmp_path / "palette.txt"
    palette.write_text("# classes\n0 0 255 ground\n255 0 0 disc\n")
    judge = {"judge": red_segmenter, "palette": palette, "metrics": ["pixel accuracy", "class accuracy", "iou"]}
    found = i2i.evaluate(real=real, fake=folder("good", range(5)), source=source, **judge)
    assert found["pixel accuracy"].value > 0.9
    assert found.tables[0].figures["IoU"]["real images"] == found["IoU"]
    protocol = found.tables[0].protocol
    assert protocol.labels is not None
    assert f"label maps {protocol.labels}" in protocol.line
    assert ", palette " in protocol.labels
    flat = folder("flat", range(5), lambda x: np.full_like(x, 30))
    bad = i2i.evaluate(real=real, fake=flat, source=source, **judge)
    shares = [(labels(drawing(n))[..., 0] > 100).mean() for n in range(5)]
    assert bad["pixel accuracy"].value == pytest.approx(1 - np.mean(shares))
    assert bad["class accuracy"].value == pytest.approx(0.5)
    with pytest.raises(i2i.DataError, match=r"a label map in colours; give --palette FILE"):
        i2i.evaluate(real=real, fake=flat, source=source, judge=red_segmenter, metrics="IoU")
    palette.write_text("0 0 255 ground\n300 0 0 disc\n")
    with pytest.raises(i2i.DataError, match=r"palette.txt:2: '300 0 0 disc'; expected 'R G B NAME'"):
        i2i.evaluate(real=real, fake=flat, source=source, **judge)


def test_the_flicker_of_a_video(tmp_path: Path, i2i_inside: Command) -> None:
    import av

    def video(name: str, frames: list[np.ndarray]) -> Path:
        with av.open(str(tmp_path / name), "w") as output:
            stream = output.add_stream("ffv1", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "bgr0"
            for frame in frames:
                output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            output.mux(stream.encode(None))
        return tmp_path / name

    still = drawing(1, 64)
    clip = video("clip.mkv", [still] * 6)
    flashing = video(
        "flashing.mkv", [np.clip(still.astype(int) + 20 * (n % 2), 0, 255).astype(np.uint8) for n in range(6)]
    )
    found = i2i.evaluate(fake=flashing, source=clip)
    row = found.tables[0].figures["flicker"]
    assert row[RESULT].value == pytest.approx(20, abs=2)
    assert row["the input itself"].value == pytest.approx(0, abs=0.1)
    model = tiny.inverter(tmp_path / "m.onnx")
    done = i2i_inside("evaluate", model, "--video", clip)
    assert done.returncode == 0, done.stderr
    assert f"protocol: 6 frames of {clip}, translated; frames reduced" in done.stdout
    damaged = tmp_path / "damaged.mkv"
    data = bytearray(clip.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = bytes(600)
    damaged.write_bytes(data)
    done = i2i_inside("evaluate", model, "--video", damaged)
    assert f"warning: {damaged}: " in done.stderr
    assert done.stderr.rstrip().endswith("only what could be read was measured")
    short = video("short.mkv", [still] * 4)
    done = i2i_inside("evaluate", "--fake", short, "--source", clip)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{short} ends after frame 4 and {clip} goes on" in done.stderr


def test_sizes_are_brought_together_without_mixing_labels(folder: Folder, red_segmenter: Path) -> None:
    """At half the size label maps still have two colours only."""
    seen: list[np.ndarray] = []
    source = folder("labels", range(3), lambda x: (255 * (x[..., :1] > 140)).astype(np.uint8) // 255, size=64)
    real = folder("real", range(3), size=64)
    from i2i.evaluation import measure

    keep = measure.confusion
    try:
        measure.confusion = lambda labels, truth, classes: seen.append(truth) or keep(labels, truth, classes)
        i2i.evaluate(real=real, fake=real, source=source, judge=red_segmenter, metrics="IoU", size=32)
    finally:
        measure.confusion = keep
    assert all(truth.shape == (32, 32) and set(np.unique(truth)) <= {0, 1} for truth in seen)
    assert len(seen) == 6


def test_transparent_images_are_compared_as_they_are_seen(tmp_path: Path, features: str) -> None:
    """What is under transparent pixels does not count; a viewer shows white there."""
    alpha = np.zeros((32, 32), np.uint8)
    alpha[8:24, 8:24] = 255
    for name, hidden in (("real", 0), ("fake", 200)):
        (tmp_path / name).mkdir()
        for n in range(4):
            pixels = drawing(n)
            pixels[alpha == 0] = hidden
            write_image(tmp_path / name / f"{n}.png", Image(pixels, alpha))
    for size in (None, 16, 20):
        found = i2i.evaluate(real=tmp_path / "real", fake=tmp_path / "fake", features=features, size=size)
        assert found["L1"].value == 0
    assert "transparency on grey 255" in found.tables[0].protocol.line
    flat = np.where(alpha[..., None] > 0, (50, 60, 70), 0).astype(np.uint8)
    write_image(tmp_path / "flat.png", Image(flat, alpha))
    image = read(Source(tmp_path / "flat.png", "flat.png"), (20, 20))[0].image
    assert len(np.unique(image.alpha)) > 3
    assert (image.pixels[image.alpha > 0] == (50, 60, 70)).all(), "no share of the hidden black"


@pytest.mark.parametrize("tinted", [True, False])
def test_colours_count_where_the_truth_is_grey(tinted: bool, folder: Folder, features: str) -> None:
    """Whether its files store one channel or three; a result in equal channels is grey."""

    def grey(pixels: np.ndarray) -> np.ndarray:
        return pixels[..., :1]

    fake = folder("fake", range(4), lambda x: grey(x) // 2 + np.array([60, 0, 20] if tinted else [9, 9, 9], np.uint8))
    found = [
        i2i.evaluate(real=folder(name, range(4), change), fake=fake, features=features, metrics="L1,PSNR,SSIM")
        for name, change in (("grey", grey), ("rgb", lambda x: np.repeat(grey(x), 3, axis=2)))
    ]
    for metric in ("L1", "PSNR", "SSIM"):
        assert found[0][metric].value == pytest.approx(found[1][metric].value, rel=1e-5)
    if tinted:
        off = [grey(drawing(n)) // 2 + np.array([60.0, 0, 20]) - grey(drawing(n)) for n in range(4)]
        assert found[0]["L1"].value == pytest.approx(np.abs(off).mean() / 255, rel=1e-6)


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    """Arguments are taken as results are: never more than a few images are open."""
    from i2i.evaluation.measure import in_order
    from i2i.runtime.system.host import cores

    taken = 0

    def arguments() -> Callable[[], int]:
        nonlocal taken
        for n in range(200):
            taken += 1
            yield n

    for number, result in enumerate(in_order(lambda n: n * n, arguments())):
        assert result == number * number
        assert taken <= number + 1 + 2 * cores()
