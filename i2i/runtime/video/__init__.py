"""Videos through a model: frame by frame, with sound, times, colours and all else as they were.

PyAV, whose wheels bring FFmpeg, reads and writes. Names are found on first use; ``options`` and ``errors`` need none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.runtime.video.errors import DamagedError, InterruptedVideo, VideoError
    from i2i.runtime.video.options import VideoOptions
    from i2i.runtime.video.translate import VideoSummary, translate_video

_HOMES = {
    "DamagedError": "errors",
    "InterruptedVideo": "errors",
    "VideoError": "errors",
    "VideoOptions": "options",
    "VideoSummary": "translate",
    "translate_video": "translate",
}

__all__ = ["DamagedError", "InterruptedVideo", "VideoError", "VideoOptions", "VideoSummary", "translate_video"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'i2i.runtime.video' has no attribute {name!r}")
    value = getattr(import_module(f"i2i.runtime.video.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
