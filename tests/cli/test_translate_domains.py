"""``--to`` of the command, for a model of several domains and for attributes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from i2i.images import Image, read_image, write_image
from tests import tiny
from tests.conftest import Command
from tests.runtime.model.test_targets import a_run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to work in: two runs, the one of several domains the newest, and three photos."""
    a_run(tmp_path / "runs" / "faces", tiny.FACES, at=1e9)
    a_run(tmp_path / "runs" / "weather", at=1e9 + 5)
    (tmp_path / "photos").mkdir()
    for number in range(3):
        write_image(tmp_path / "photos" / f"{number}.png", Image(np.full((4, 5, 3), number, np.uint8)))
    return tmp_path


def test_a_folder_toward_each_domain(place: Path, i2i_command: Command) -> None:
    for index, name in enumerate(tiny.WEATHER.domains):
        done = i2i_command("translate", "photos/", "--to", name, cwd=place)
        assert done.returncode == 0, done.stderr
        assert (
            "model runs/weather/onnx/any.onnx (the newest finished run, runs/weather): "
            f"weather -> {name}, on cpu" in done.stderr
        )
        assert done.stdout.startswith(f"{place / f'photos-{name}'}: 3 translated")
        assert (read_image(place / f"photos-{name}" / "2.png").pixels == 12 + 10 * index).all()


def test_one_output_folder_is_translated_to_another_domain_with_overwrite(place: Path, i2i_inside: Command) -> None:
    for to, counts in (("rain", "3 translated, 0"), ("rain", "0 translated, 3"), ("shine", "3 translated, 0")):
        again = ["--overwrite"] if to == "shine" else []
        if again:
            done = i2i_inside("translate", "photos", "out", "--to", to, cwd=place)
            assert (done.returncode, done.stdout) == (2, "")
            assert "error: out has results of a job that differs from this one: to was ['rain'] and is" in done.stderr
        done = i2i_inside("translate", "photos", "out", "--to", to, *again, cwd=place)
        assert f"{counts} done before" in done.stdout
    assert (read_image(place / "out" / "0.png").pixels == 30).all()


def test_attributes_with_commas(place: Path, i2i_inside: Command) -> None:
    done = i2i_inside("translate", "photos/0.png", "-m", "faces", "--to", "male,smiling", cwd=place)
    assert (done.returncode, done.stdout) == (0, "photos/0-male-smiling.png\n"), done.stderr
    assert "faces -> male, smiling, on cpu" in done.stderr
    assert (read_image(place / "photos" / "0-male-smiling.png").pixels == 5).all()
    done = i2i_inside("translate", "photos/0.png", "-m", "faces", "--to", "", cwd=place)
    assert (done.returncode, done.stdout) == (0, "photos/0-none.png\n"), done.stderr
    assert (read_image(place / "photos" / "0-none.png").pixels == 0).all()


@pytest.mark.parametrize("src", ["photos", "photos/0.png"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "runs/weather: a domain is missing: choose one of cloudy, rain, shine: --to cloudy"),
        (("--to", "snow"), "runs/weather does not translate to 'snow'; it translates to cloudy, rain, shine"),
        (("-m", "faces"), "runs/faces: attributes are missing: choose any of male, young, smiling"),
        (("-m", "faces", "--to", "male,old"), "does not translate to 'male,old'; it translates to male, young, smil"),
        (
            ("-m", "runs/weather/onnx/any.onnx"),
            "runs/weather/onnx/any.onnx: a domain is missing: choose one of cloudy, rain, shine",
        ),
    ],
)
def test_errors_list_the_domains(
    place: Path, i2i_inside: Command, src: str, arguments: tuple[str, ...], said: str
) -> None:
    done = i2i_inside("translate", src, *arguments, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert sorted(path.name for path in place.iterdir()) == ["photos", "runs"]


def test_the_list_of_models_has_the_domains(place: Path, i2i_inside: Command) -> None:
    lines = i2i_inside("models", cwd=place).stdout.splitlines()
    assert lines[:2] == [
        "  runs/faces  stargan  faces -> any of male, young, smiling  finished, step 7, any",
        "* runs/weather  stargan  weather -> cloudy, rain, shine  finished, step 7, any",
    ]
