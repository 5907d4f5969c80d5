"""One file to another: the name and the format of the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from i2i.images import IMAGE_SUFFIXES, read_header
from i2i.images.encode import KEPT
from i2i.runtime import Model, Options
from i2i.runtime.jobs import planning, single
from i2i.runtime.jobs.planning import output_format
from i2i.runtime.jobs.single import translate_file
from tests.runtime.tiles.networks import network


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES - KEPT))
@pytest.mark.parametrize("format", [None, "PNG", "JPEG"])
def test_the_name_of_a_format_that_is_not_written_is_refused(suffix: str, format: str | None) -> None:
    for name in (f"out{suffix}", f"out{suffix.upper()}"):
        with pytest.raises(ValueError, match=rf"(?i)cannot write a '\{suffix}' file; choose one of \.png"):
            output_format(Path("in.png"), Path(name), "PNG", Options(format=format))


@pytest.mark.parametrize("name", ["out", "out.result", "v1.2"])
def test_a_name_of_no_image_gets_the_format_that_is_asked_for(name: str) -> None:
    assert output_format(Path("in.png"), Path(name), "PNG", Options(format="JPEG")) == "JPEG"
    with pytest.raises(ValueError, match=r"choose one of \.png"):
        output_format(Path("in.png"), Path(name), "PNG", Options())


def test_the_header_is_read_once_and_the_format_decided_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(network(tmp_path / "net.onnx"), "cpu", 1)
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    calls = []
    for module, name in ((single, "read_header"), (planning, "output_format")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, real=real, name=name: (calls.append(name), real(*given))[1])
    translate_file(model, tmp_path / "a.png", tmp_path / "b.png", Options())
    assert sorted(calls) == ["output_format", "read_header"]
    assert read_header(tmp_path / "b.png").width == 8
