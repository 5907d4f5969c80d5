"""docs/production.md in JavaScript: its program for Node, and its page in a browser without a window."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import i2i
from i2i.images import read_image
from tests import tiny
from tests.production.browser import Page, visit
from tests.production.conftest import MODEL, Pictures, exported, same


def run_node(node: str, folder: Path, *arguments: object) -> str:
    done = subprocess.run([node, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["333x217", "transparent"])
def test_node(
    name: str,
    node: str,
    node_modules: Path,
    place: Callable[..., Path],
    pictures: Pictures,
    expected: dict[str, np.ndarray],
) -> None:
    folder = place("translate.mjs")
    (folder / "node_modules").symlink_to(node_modules)
    run_node(node, folder, "translate.mjs", MODEL, pictures[name], "out.png")
    same(folder / "out.png", expected[name])


def test_metadata_without_a_protocol_buffers_library(node: str, place: Callable[..., Path], weather: Path) -> None:
    folder = place("spec.mjs")
    code = 'import { readSpec } from "./spec.mjs"; import { readFileSync } from "node:fs"; '
    code += "console.log(JSON.stringify(process.argv.slice(1).map((file) => readSpec(readFileSync(file)))))"
    found = json.loads(run_node(node, folder, "--input-type=module", "-e", code, MODEL, weather))
    for path, facts in zip((MODEL, weather), found, strict=True):
        assert facts == json.loads(onnx.load(path).metadata_props[0].value)
    assert found[1]["domains"] == ["cloudy", "rain", "shine"]


def test_browser(
    chromium: str,
    node_modules: Path,
    place: Callable[..., Path],
    tmp_path: Path,
    pictures: Pictures,
    expected: dict[str, np.ndarray],
    weather: Path,
) -> None:
    folder, broken = place("index.html", "spec.mjs"), tmp_path / "broken.png"
    faces, deep = exported(tiny.brighter(tmp_path / "faces.onnx", tiny.FACES)), tmp_path / "deep.onnx"
    tiny.inverter(deep, tiny.DEEP)
    greys = [exported(tiny.inverter(tmp_path / "grey.onnx", tiny.GREY)), exported(tiny.to_grey(tmp_path / "to.onnx"))]
    broken.write_bytes(b"no picture")
    pages = [
        Page(MODEL, [(path, None) for path in pictures.values()], isolated=True),
        Page(weather, [(pictures["7x5"], "rain"), (broken, None), (pictures["333x217"], "shine")], isolated=False),
        Page(faces, [(pictures["7x5"], "male,smiling")]),
        *[Page(grey, [(pictures["333x217"], None)]) for grey in greys],
        Page(deep, []),
        Page(tmp_path / "none.onnx", []),
        Page(broken, []),
    ]
    day2night, several, some, grey, to_grey, *others = visit(
        chromium, folder, node_modules, pages, tmp_path / "profile"
    )

    assert (day2night.title, day2night.isolated) == ("day → night", True)
    for name, result, said in zip(pictures, day2night.results, day2night.said, strict=True):
        (tmp_path / f"{name}.png").write_bytes(result)
        same(tmp_path / f"{name}.png", expected[name])
        height, width = expected[name].shape[:2]
        assert said.startswith(f"{width} × {height} in ")

    assert (several.title, several.isolated) == ("weather → cloudy, rain, shine", False)
    translate = i2i.load(weather)
    for (path, to), result, said in zip(pages[1].pictures, several.results, several.said, strict=True):
        if path == broken:
            assert said.startswith("This did not work: ")
            assert result == b""
        else:
            (tmp_path / "several.png").write_bytes(result)
            same(tmp_path / "several.png", translate(read_image(path).pixels, to=to))

    (tmp_path / "some.png").write_bytes(some.results[0])
    same(tmp_path / "some.png", i2i.load(faces)(read_image(pictures["7x5"]).pixels, to="male,smiling"))
    for path, page in zip(greys, (grey, to_grey), strict=True):
        (tmp_path / "grey.png").write_bytes(page.results[0])
        want = i2i.load(path)(read_image(pictures["333x217"]).pixels)
        same(tmp_path / "grey.png", np.repeat(want.reshape(217, 333, 1), 3, axis=2))
    reasons = ("this page is for models of grey or RGB pictures of 8 bits", "model.onnx: 404", "")
    for page, reason in zip(others, reasons, strict=True):
        assert page.last.startswith(f"The model does not open: {reason}")
