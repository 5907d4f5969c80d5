"""A model of several domains from end to end: folders or a table, training, one file, each domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import i2i
from i2i.cli import main
from i2i.engine import load_generators
from i2i.exporter.pixel_graph import Pixels, WithTarget
from i2i.images import Image, read_image, write_image
from i2i.networks import per_image
from i2i.runtime.graphs.onnx_file import read_spec
from tests.translators.cases import CASES

Here = Callable[..., tuple[int, str, str]]
COLOURS = {"cloudy": (120, 120, 140), "rain": (60, 60, 90), "shine": (220, 200, 120)}
SMALL = ["--size", "32", "--steps", "4", "--batch", "2", "--quiet"]
SMALL += [word for name, value in CASES["stargan"].small.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Path:
    """Twelve drawn photos in weather/train/DOMAIN/, and again in one folder beside a table of what they show."""
    monkeypatch.chdir(tmp_path)
    random, rows = np.random.default_rng(0), ["file,warm,dark"]
    for name, colour in COLOURS.items():
        (tmp_path / "weather" / "train" / name).mkdir(parents=True)
        (tmp_path / "photos").mkdir(exist_ok=True)
        for number in range(4):
            pixels = np.clip(random.normal(colour, 30, (40, 47, 3)), 0, 255).astype(np.uint8)
            for folder in (Path("weather", "train", name), Path("photos")):
                write_image(folder / f"{name}{number}.png", Image(pixels))
            rows.append(f"{name}{number}.png,{int(name == 'shine')},{int(name != 'shine') if number % 2 else 0}")
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


@pytest.fixture
def i2i_here(capsys: pytest.CaptureFixture[str]) -> Here:
    """Run ``i2i ARGUMENTS`` in this process; return exit status, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return run


def check_pixels(run: Path, ways: dict[str, torch.Tensor]) -> None:
    """Compare every target with PyTorch and the run's weights, to one level; no two pictures are equal."""
    net, spec = load_generators(run)["any"]
    module = Pixels(WithTarget(per_image(net), spec), replace(spec, minimum=net.minimum)).eval()
    model = i2i.load(run / "onnx" / "any.onnx", "cpu")
    images = np.stack([read_image(path).pixels for path in sorted(Path("photos").iterdir())[::4]])
    results = set()
    for to, target in ways.items():
        with torch.inference_mode():
            want = module(torch.from_numpy(images), target.expand(len(images), *target.shape[1:])).numpy()
        got = model(images, to=to)
        assert np.abs(got.astype(int) - want.astype(int)).max() <= 1
        results.add(got.tobytes())
    assert len(results) == len(ways)


def test_folders_of_domains(place: Path, i2i_here: Here) -> None:
    assert i2i_here("train", "stargan", "--data", "weather", "--out", "runs/w", *SMALL) == (0, "runs/w\n", "")
    status, out, _ = i2i_here("export", "runs/w")
    assert status == 0
    assert out.startswith(f"{Path('runs/w/onnx/any.onnx')}  weather -> cloudy, rain, shine  ")
    spec = read_spec("runs/w/onnx/any.onnx")
    assert (spec.domains, spec.attributes, spec.direction) == (tuple(COLOURS), False, "any")
    check_pixels(Path("runs/w"), {name: torch.tensor([index]) for index, name in enumerate(COLOURS)})

    status, out, err = i2i_here("translate", "photos", "--to", "shine")
    assert (status, out.partition(",")[0]) == (0, f"{place / 'photos-shine'}: 12 translated")
    assert "runs/w): weather -> shine, on cpu" in err
    original, shine = (read_image(Path(folder, "rain1.png")).pixels for folder in ("photos", "photos-shine"))
    assert np.array_equal(shine, i2i.load("runs/w/onnx/any.onnx", "cpu")(original, to="shine"))
    for arguments, said in (
        ((), "a domain is missing: choose one of cloudy, rain, shine"),
        (("--to", "snow"), "does not translate to 'snow'; it translates to cloudy, rain, shine"),
    ):
        status, out, err = i2i_here("translate", "photos", *arguments)
        assert (status, out) == (2, "")
        assert said in err


@pytest.mark.slow
def test_a_table_of_attributes(place: Path, i2i_here: Here) -> None:
    """The first translation exports the run."""
    data = ("--data", "photos", "--attributes", "table.csv")
    assert i2i_here("train", "stargan", *data, "--out", "runs/p", *SMALL) == (0, "runs/p\n", "")
    status, _, err = i2i_here("translate", "photos")
    assert status == 2
    assert "attributes are missing: choose any of warm, dark" in err
    assert not Path("runs/p/onnx").exists()
    status, out, err = i2i_here("translate", "photos", "--to", "dark,warm")
    assert (status, "photos-dark-warm: 12 translated" in out) == (0, True)
    assert "(the newest finished run, runs/p): photos -> dark, warm, on cpu" in err
    spec = read_spec("runs/p/onnx/any.onnx")
    assert (spec.domains, spec.attributes) == (("warm", "dark"), True)
    ways = {"": [0, 0], "warm": [1, 0], "dark": [0, 1], "warm,dark": [1, 1]}
    check_pixels(Path("runs/p"), {to: torch.tensor([row], dtype=torch.float32) for to, row in ways.items()})
