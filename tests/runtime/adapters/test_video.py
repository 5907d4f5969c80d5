"""A video through a model that others made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import i2i
from tests.runtime.adapters import models

av = pytest.importorskip("av")


def test_super_resolution_makes_larger_frames(tmp_path: Path) -> None:
    levels = (30, 70, 110, 150)
    with av.open(str(tmp_path / "in.mkv"), "w") as film:
        stream = film.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 40, 24, "yuv444p"
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((24, 40, 3), level, np.uint8), format="rgb24")
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    # Loaded on all cores: the job opens it once more, side by side, and has to pass on what was told.
    model = i2i.load(models.larger(tmp_path / "larger.onnx", 2), "cpu", range="0..1", order="rgb")
    i2i.translate(tmp_path / "in.mkv", tmp_path / "out.mkv", model, codec="ffv1")
    with av.open(str(tmp_path / "out.mkv")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert [frame.shape for frame in frames] == [(48, 80, 3)] * len(levels)
    assert [round(float(frame.mean())) for frame in frames] == pytest.approx(levels, abs=1)
