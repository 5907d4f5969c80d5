"""``i2i generate`` as it is used: files, sheets, walks, defaults, messages and exit statuses."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, read_image, write_image
from i2i.runtime import load
from i2i.runtime.model import catalog
from tests import tiny
from tests.cli.test_main import WITHOUT_TRAINING, python
from tests.conftest import Command
from tests.evaluation.conftest import brightness_judge  # noqa: F401
from tests.runtime.model.test_catalog import a_run

KINDS = replace(tiny.SHAPES, domains=("cat", "dog"))


def generator_run(path: Path, at: float, spec: tiny.Spec = tiny.SHAPES) -> Path:
    """The folder of a finished run of a generator."""
    tiny.draws(path / "onnx" / "generate.onnx", spec)
    (path / "run.json").write_text('{"method": "dcgan", "status": "finished", "step": 7}')
    os.utime(path / "run.json", (at, at))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to work in: a run of CycleGAN, and two newer ones of generators."""
    a_run(tmp_path / "runs" / "horses", at=1e9)
    generator_run(tmp_path / "runs" / "shapes", 1e9 + 3)
    generator_run(tmp_path / "runs" / "pets", 1e9 + 5, KINDS)
    return tmp_path


def test_images_of_a_run_by_its_name(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("generate", "shapes", "-n", 3, "--seed", 40, cwd=place)
    assert (done.returncode, done.stdout) == (0, "runs/shapes/generated\n"), done.stderr
    assert done.stderr.splitlines() == [
        "model runs/shapes/onnx/generate.onnx (run runs/shapes): noise -> shapes, on cpu",
        "3 images in runs/shapes/generated",
    ]
    files = sorted((place / "runs" / "shapes" / "generated").iterdir())
    assert [file.name for file in files] == ["000040.png", "000041.png", "000042.png"]
    want = load(place / "runs" / "shapes").sample(3, seed=40)
    assert all(np.array_equal(read_image(file).pixels, image) for file, image in zip(files, want, strict=True))


def test_the_newest_run_of_a_generator_and_a_class(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("generate", "--to", "dog", "-n", 1, "--set", "digit=2", "--set", "slant=-3", cwd=place)
    assert (done.returncode, done.stdout) == (0, "runs/pets/generated-dog\n"), done.stderr
    assert "(the newest finished run, runs/pets): noise -> dog, on cpu" in done.stderr
    image = read_image(place / "runs" / "pets" / "generated-dog" / "000000.png").pixels
    want = load(place / "runs" / "pets").sample(to="dog", codes={"digit": 2, "slant": -3})
    assert np.array_equal(image, want[0])


def test_a_sheet_and_a_walk(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("generate", "shapes", "-n", 9, "--grid", "-o", "sheet.webp", cwd=place)
    assert (done.returncode, done.stdout) == (0, "sheet.webp\n"), done.stderr
    assert read_image(place / "sheet.webp").format == "WEBP"
    arguments = ("--walk", "--seconds", "0.2", "--fps", "30000/1001", "--truncate", "0.5")
    done = i2i_inside("generate", "shapes", "-n", 2, *arguments, "-o", "walk.mp4", cwd=place)
    assert (done.returncode, done.stdout) == (0, "walk.mp4\n"), done.stderr
    assert (place / "walk.mp4").stat().st_size > 500


def test_nothing_of_pytorch_or_pyav_is_needed(place: Path) -> None:
    done = python(WITHOUT_TRAINING, "generate", "shapes", "-n", "2", "-o", "out", cwd=place)
    assert done.returncode == 0, done.stderr
    done = python(WITHOUT_TRAINING, "generate", "shapes", "-n", "2", "--grid", "-o", "sheet.png", cwd=place)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (place / "out").iterdir()) == ["000000.png", "000001.png"]
    done = python(WITHOUT_TRAINING, "generate", "shapes", "-n", "2", "--walk", "-o", "walk.mp4", cwd=place)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "error: this needs av, which is not installed: pip install av",
    )


@pytest.mark.usefixtures("brightness_judge")
def test_labels_beside_the_images(place: Path, i2i_inside: Command) -> None:
    arguments = ("generate", "pets", "--to", "dog", "-n", 2, "--seed", 7, "-o", "out")
    done = i2i_inside(*arguments, "--labels", "uniform", cwd=place)
    assert (done.returncode, done.stdout) == (0, "out\n"), done.stderr
    assert done.stderr.splitlines()[-2:] == ["2 images in out", "labels in out/labels.csv"]
    table = place / "out" / "labels.csv"
    assert table.read_text() == "file,cat,dog\n000007.png,0.5,0.5\n000008.png,0.5,0.5\n"
    done = i2i_inside(*arguments[:-1], "more", "--labels", "new-class", cwd=place)
    lines = (place / "more" / "labels.csv").read_text().splitlines()
    assert lines == ["file,cat,dog,generated", "000007.png,0,0,1", "000008.png,0,0,1"]
    (place / "out" / "000007.png").unlink()
    done = i2i_inside(*arguments, "--labels", "uniform", cwd=place)
    assert done.returncode == 2
    assert "out/labels.csv is there already" in done.stderr
    assert not (place / "out" / "000007.png").exists()  # it is found before any image is drawn
    done = i2i_inside(*arguments, "--labels", "pseudo", "--judge", "judge.onnx", "--overwrite", cwd=place)
    assert done.returncode == 0, done.stderr
    images = load(place / "runs" / "pets").sample(2, seed=7, to="dog")
    sees = ["0,1" if image.mean() > 110 else "1,0" for image in images]  # as tests/evaluation/conftest.py
    assert table.read_text() == f"file,dark,bright\n000007.png,{sees[0]}\n000008.png,{sees[1]}\n"


@pytest.mark.usefixtures("brightness_judge")
def test_labels_need_nothing_of_pytorch(place: Path) -> None:
    judge = ("--labels", "pseudo", "--judge", "judge.onnx")
    without = WITHOUT_TRAINING.replace(", 'av'", "")  # which evaluation has, for videos
    done = python(without, "generate", "shapes", "-n", "2", "-o", "out", *judge, cwd=place)
    assert done.returncode == 0, done.stderr
    assert (place / "out" / "labels.csv").read_text().startswith("file,dark,bright\n000000.png,")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-n", "0"], "Invalid value for '-n' / '--number': 0 is not in the range"),
        (["--seed", "4294967296"], "Invalid value for '--seed': 4294967296 is not in the range"),
        (["--seed", "4294967295"], "seed is 4294967295 to 4294967358; expected 0 to 4294967295"),
        (["--set", "digit"], "'digit' is not of the form code=number"),
        (["--set", "=1"], "'=1' is not of the form code=number"),
        (["--set", "digit=one"], "'digit=one' is not of the form code=number"),
        (["--set", "digits=1"], "no code 'digits' (did you mean digit?); this model has digit (0 to 2), slant"),
        (["--set", "slant=4"], "slant is 4; expected -1 to 1, and up to 3 either way"),
        (["--to", "cat"], "runs/shapes does not generate 'cat'; it generates shapes (generate)"),
        (["--truncate", "0"], "truncate is 0.0; expected a number above 0"),
        (["--grid", "--walk"], "grid and walk are two forms of the result: choose one"),
        (["--walk", "-n", "1"], "a walk needs at least 2 seeds"),
        (["--walk", "--fps", "0"], "fps is '0'; expected more than 0"),
        (["--walk", "--seconds", "0"], "seconds is 0.0; expected more than 0"),
        (["--labels", "uniform"], "this generator draws no classes; give --judge FILE"),
        (["--labels", "pseudo"], "pseudo labels are those of a classifier; give --judge FILE"),
        (["--labels", "soft"], "Invalid value for '--labels'"),
        (["--labels", "uniform", "--grid"], "--labels are those of files; leave out --grid and --walk"),
        (["--judge", "judge.onnx"], "--judge belongs to --labels"),
        (["--provider", "tpu"], "Invalid value for '--provider'"),
    ],
)  # fmt: skip
def test_wrong_use_has_status_2(place: Path, i2i_inside: Command, arguments: list[str], words: str) -> None:
    done = i2i_inside("generate", "shapes", "-o", "out.png", *arguments, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert not (place / "out.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "horses"], "runs/horses is a translator, which takes images: use `i2i translate "),
        (["generate", "pets"], "runs/pets: a domain is missing: choose one of cat, dog: --to cat"),
        (["generate", "pets", "--to", "cow"], "runs/pets does not generate 'cow'; it generates cat, dog"),
        (["generate", "nothing"], "no model 'nothing': it is no file"),
        (["translate", "a.png", "-m", "pets"], "is a generator, which takes no image: use `i2i generate runs/pets`"),
        (["evaluate", "runs/pets", "--data", "."], "then `i2i evaluate --real REAL --fake DIR`"),
        (["describe", "runs/pets/onnx/generate.onnx", "-o", "x.onnx"], "written by `i2i export`"),
    ],
)  # fmt: skip
def test_the_other_kind_of_model(place: Path, i2i_inside: Command, arguments: list[str], words: str) -> None:
    write_image(place / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))
    done = i2i_inside(*arguments, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_each_command_takes_the_newest_run_of_its_kind(place: Path, i2i_inside: Command) -> None:
    write_image(place / "a.png", Image(np.zeros((4, 4, 3), np.uint8)))
    done = i2i_inside("translate", "a.png", cwd=place)
    assert (done.returncode, done.stdout) == (0, "a-zebras.png\n"), done.stderr
    assert i2i_inside("models", cwd=place).stdout.splitlines()[:3] == [
        "* runs/horses  cyclegan  horses -> zebras, zebras -> horses  finished, step 7, a2b, b2a",
        "* runs/pets  dcgan  noise -> cat, dog  finished, step 7, generate",
        "  runs/shapes  dcgan  noise -> shapes  finished, step 7, generate",
    ]
    done = i2i_inside("generate", cwd=place / "runs" / "horses")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no generator: no finished run of one under runs/" in done.stderr


def test_describe_says_what_z_is(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("describe", "runs/pets/onnx/generate.onnx", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "runs/pets/onnx/generate.onnx  noise -> cat, dog  tiny, pixels, uint8, 6 x 5 pixels, z: 4 numbers of normal "
        "noise and digit (0 to 2) and slant (-1 to 1)\n"
    )


def test_of_a_run_with_both_kinds_each_command_takes_its_own(tmp_path: Path) -> None:
    """As of a method with an encoder: ``any`` from image to image, and ``generate`` from noise."""
    run = generator_run(tmp_path / "run", 1e9, KINDS)
    tiny.brighter(run / "onnx" / "any.onnx", replace(tiny.WEATHER, domains=("cat", "dog")))
    for kind, to, file in (
        (None, None, "any"), (None, "generate", "generate"), (None, "cat", "any"), ("translator", "dog", "any"),
        ("generator", "dog", "generate"),
    ):  # fmt: skip
        found = catalog.resolve(run, to, require_to=False, kind=kind)
        assert found.path == run / "onnx" / f"{file}.onnx"
        assert found.to == (to if to in KINDS.domains else None)
    assert load(run, to="generate").toward("dog").sample(2).shape == (2, 6, 5, 3)
