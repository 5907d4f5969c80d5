"""Videos through third-party models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import i2i
from tests.runtime.adapters import models

av = pytest.importorskip("av")


def test_super_resolution_makes_larger_frames(tmp_path: Path) -> None:
    levels = (30, 70, 110, 150)
    with av.open(str(tmp_path / "in.mkv"), "w") as clip:
        stream = clip.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 40, 24, "yuv444p"
        for level in levels:
            frame = av.VideoFrame.from_ndarray(np.full((24, 40, 3), level, np.uint8), format="rgb24")
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode())
    # Loaded on all cores: the job opens it once more, side by side, and must pass the options on.
    model = i2i.load(models.larger(tmp_path / "larger.onnx", 2), "cpu", range="0..1", order="rgb")
    i2i.translate(tmp_path / "in.mkv", tmp_path / "out.mkv", model, codec="ffv1")
    with av.open(str(tmp_path / "out.mkv")) as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    assert [frame.shape for frame in frames] == [(48, 80, 3)] * len(levels)
    assert [round(float(frame.mean())) for frame in frames] == pytest.approx(levels, abs=1)
