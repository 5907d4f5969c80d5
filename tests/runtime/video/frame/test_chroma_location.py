"""Chroma location: a chroma ramp stays in its place on the way to RGB and back, and the result states its location."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import av
import numpy as np
import pytest

from i2i.runtime import Model
from i2i.runtime.video import VideoOptions, translate_video
from i2i.runtime.video.frame import chroma_location
from i2i.runtime.video.frame import colour as colours
from i2i.runtime.video.sink.encoders import ENCODERS
from tests.runtime.video.clips import make, to_rgb
from tests.runtime.video.facts import facts

WIDTH, HEIGHT = 64, 48
PLACES = {
    chroma_location.LEFT: (0, 0.5),
    chroma_location.CENTRE: (0.5, 0.5),
    chroma_location.TOP_LEFT: (0, 0),
}  # right of and below a luma sample
RAMPS = (np.arange(WIDTH // 2), np.arange(HEIGHT // 2)[:, None])


def planes(bits: int) -> list[np.ndarray]:
    """Grey luma, Cb that grows from top to bottom, Cr that grows from left to right, both 3 levels a sample."""
    scale, kind = 2 ** (bits - 8), np.uint8 if bits == 8 else np.uint16
    cr, cb = (np.broadcast_to(90 + 3 * ramp, (HEIGHT // 2, WIDTH // 2)) for ramp in RAMPS)
    return [(scale * plane).astype(kind) for plane in (np.full((HEIGHT, WIDTH), 120), cb, cr)]


@pytest.mark.parametrize(("codec", "bits"), [("libx264", 8), ("libx264", 10), ("libx265", 8)])
@pytest.mark.parametrize("location", PLACES)
def test_chroma_stays_where_it_is(
    location: int, codec: str, bits: int, identity: Model, deep_identity: Model, tmp_path: Path
) -> None:
    name = codec.removeprefix("lib")
    lossless = {"x264": "qp=0", "x265": "lossless=1:log-level=none"}[name]
    form = {8: "yuv420p", 10: "yuv420p10le"}[bits]
    parameters = {f"{name}-params": f"{lossless}:chromaloc={location - 1}"}
    made = {"size": (WIDTH, HEIGHT), "codec": codec, "pixel_format": form, "colour": (6, 1, 6, 6)}
    moving = {"times": range(0, 2048, 512), "planes": lambda _: planes(bits), "options": parameters}
    source = make(tmp_path / "in.mp4", **made, **moving)
    seen: list[np.ndarray] = []
    kind = {"x264": "h264", "x265": "hevc"}[name]
    model, fine = (identity, deep_identity)[bits > 8], VideoOptions(crf=0, codec=kind)
    translate_video(model, source, tmp_path / "out.mp4", video=fine, observers=[lambda before, *_: seen.append(before)])
    result, inner = facts(tmp_path / "out.mp4", planes=True), (slice(6, -6), slice(6, -6))
    for plane, were in zip(result.planes[0], planes(bits), strict=True):
        off = (plane.astype(float) - were)[inner] / 2 ** (bits - 8)
        assert abs(off.mean()) < 0.2  # half a pixel would be 0.75
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert chroma_location.find(next(container.decode(video=0)), kind) == location
    right, down = PLACES[location]
    x, y = (np.arange(WIDTH) - right) / 2, (np.arange(HEIGHT) - down) / 2
    ramps = [np.broadcast_to(90 + 3 * ramp, (HEIGHT, WIDTH)) for ramp in (y[:, None], x)]
    expected = to_rgb(np.stack([np.full((HEIGHT, WIDTH), 120.0), *ramps], axis=-1), 6, False)
    off = (seen[0] / (1 if bits == 8 else 257) - expected)[12:-12, 12:-12]
    assert np.abs(off.mean((0, 1))).max() < 0.5  # half a pixel would be 1.2 of red, or 1.5 of blue


@pytest.mark.parametrize(("codec", "suffix"), [("av1", ".mp4"), ("prores", ".mov"), ("auto", ".y4m")])
def test_chroma_is_at_the_left_if_the_codec_cannot_state_it(
    codec: str, suffix: str, identity: Model, tmp_path: Path
) -> None:
    """Players assume this if a file states nothing."""
    form, down = ("yuv420p", 2) if codec == "av1" else ("yuv422p", 1)
    cr = np.broadcast_to(90 + 3 * RAMPS[0], (HEIGHT // down, WIDTH // 2)).astype(np.uint8)
    values = [np.full((HEIGHT, WIDTH), 120, np.uint8), np.full_like(cr, 128), cr]
    made = {"codec": "mjpeg", "pixel_format": form.replace("yuv", "yuvj"), "options": {"qscale": "1"}}
    source = make(tmp_path / "in.mkv", colour=(6, 2, 6, 6), planes=lambda _: values, **made)
    video = VideoOptions(codec=codec, crf=5 if codec == "av1" else None)
    target = tmp_path / f"out{suffix}"
    with open(target, "wb") if codec == "auto" else nullcontext(target) as opened:
        translate_video(identity, source, opened, video=video)
    result = facts(target, planes=True).planes[0][2] * (255 / 1023 if codec == "prores" else 1.0)
    off = (result - (90 + 3 * RAMPS[0]))[6:-6, 6:-6].mean()
    assert off == pytest.approx(-0.75, abs=0.3)  # a quarter of a sample


@pytest.mark.parametrize("codec", ["libx264", "libx265", "ffv1"])
def test_chroma_of_every_second_column_stays_where_it_is(codec: str, identity: Model, tmp_path: Path) -> None:
    """Of 4:2:2 the decoder of HEVC says nothing, and that of FFV1 of none."""
    cr = np.broadcast_to(90 + 3 * RAMPS[0], (HEIGHT, WIDTH // 2)).astype(np.uint8)
    values = [np.full((HEIGHT, WIDTH), 120, np.uint8), np.full_like(cr, 128), cr]
    lossless = {"libx264": {"qp": "0"}, "libx265": {"x265-params": "lossless=1:log-level=none"}}.get(codec, {})
    made = {"codec": codec, "pixel_format": "yuv422p", "options": lossless, "planes": lambda _: values}
    source = make(tmp_path / "in.mkv", colour=(6, 1, 6, 6), times=(0,), **made)
    translate_video(identity, source, tmp_path / "out.mkv", video=VideoOptions(crf=0))
    off = facts(tmp_path / "out.mkv", planes=True).planes[0][2].astype(float) - cr
    assert abs(off[:, 6:-6].mean()) < 0.2  # half a pixel would be 0.75


def test_encoders_that_cannot_state_the_location_get_chroma_at_the_left() -> None:
    names = ("h264", "av1", "h264_nvenc")
    held = {name: chroma_location.held("yuv420p", ENCODERS[name].locations, chroma_location.CENTRE) for name in names}
    assert held == {"h264": chroma_location.CENTRE, "av1": chroma_location.LEFT, "h264_nvenc": chroma_location.LEFT}


def test_chroma_of_444_is_subsampled_to_the_left() -> None:
    """Players assume this if a file states nothing, as for cameras and RGB."""
    ramp = np.broadcast_to(np.arange(60, 124, dtype=np.uint8), (HEIGHT, WIDTH))
    picture = np.stack([ramp, np.full_like(ramp, 90), np.full_like(ramp, 90)], axis=2)
    frame = colours.from_rgb(picture, "yuv420p", colours.Colour(6, 1))
    cr = np.frombuffer(memoryview(frame.planes[2]), np.uint8).reshape(HEIGHT // 2, -1)[:, 4 : WIDTH // 2 - 4]
    red = np.arange(60, 124)[8:-8:2]
    assert abs((cr - (128 + (red - 0.299 * red - 0.701 * 90) * 224 / 255 / 1.402)).mean()) < 0.15  # else 0.22
    frame = av.VideoFrame.from_ndarray(picture, "rgb24")
    assert chroma_location.find(frame, "rawvideo") == chroma_location.LEFT
    assert chroma_location.find(frame.reformat(format="yuv420p"), "vp9") == chroma_location.UNSTATED
    assert chroma_location.find(frame.reformat(16, 16, "yuv420p"), "mjpeg") == chroma_location.CENTRE


@pytest.mark.parametrize("name", ["420mpeg2", "420jpeg", "420paldv"])
def test_a_pipe_states_the_chroma_location(name: str, identity: Model, tmp_path: Path) -> None:
    data = b"".join(plane.tobytes() for plane in planes(8))
    (tmp_path / "in.y4m").write_bytes(f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C{name}\nFRAME\n".encode() + data)
    with open(tmp_path / "out.y4m", "wb") as pipe:
        translate_video(identity, tmp_path / "in.y4m", pipe)
    assert f" C{name} ".encode() in (tmp_path / "out.y4m").read_bytes()[:80]
    for plane, were in zip(facts(tmp_path / "out.y4m", planes=True).planes[0], planes(8), strict=True):
        assert abs((plane.astype(float) - were)[6:-6, 6:-6].mean()) < 0.2
