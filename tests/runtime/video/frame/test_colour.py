"""Colours through an identity model, against the formulas of ITU-T H.273 and not against FFmpeg."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from i2i.runtime import Model, Options
from i2i.runtime.video import VideoError, VideoOptions, translate_video
from i2i.runtime.video.frame import colour as colours
from tests.runtime.video.clips import make, to_rgb, to_yuv
from tests.runtime.video.facts import facts

_FIRST = [(255, 255, 255), (0, 0, 0), (200, 30, 60), (30, 200, 60)]
_SECOND = [(30, 60, 200), (250, 220, 20), (128, 128, 128), (12, 240, 230)]
PATCHES = np.array(_FIRST + _SECOND)
SIDE = 16
PICTURE = np.repeat(np.repeat(PATCHES.reshape(2, 4, 3), SIDE, axis=0), SIDE, axis=1)  # [32, 64, 3]
GREY = ("gray", "gray10le", "gray12le", "gray16le")
SD, HD, PQ = (6, 1, 6, 6), (1, 1, 1, 1), (9, 1, 9, 16)


def planes(matrix: int, full: bool, bits: int = 8, chroma: int = 2) -> list[np.ndarray]:
    yuv = np.rint(to_yuv(PICTURE, matrix, full, bits)).clip(0, 2**bits - 1).astype(np.uint16 if bits > 8 else np.uint8)
    return [yuv[0], yuv[1, ::chroma, ::chroma], yuv[2, ::chroma, ::chroma]]


def patches(frame: list[np.ndarray], matrix: int, full: bool, bits: int = 8) -> np.ndarray:
    """The middle of each patch in RGB, of a frame's planes."""
    grid = []
    for plane in frame:
        side = plane.shape[0] // 2
        cut = plane.reshape(2, side, 4, side)[:, side // 4 : -side // 4, :, side // 4 : -side // 4]
        grid.append(cut.astype(float).mean((1, 3)))
    return to_rgb(np.stack(grid, axis=-1), matrix, full, bits).reshape(-1, 3)


@pytest.mark.parametrize(
    ("tags", "size", "used"),
    [
        (SD, None, 6),
        (HD, None, 1),
        ((1, 2, 1, 13), None, 1),  # full range
        ((6, 2, 2, 2), None, 6),
        ((9, 1, 9, 14), None, 9),
        ((5, 1, 5, 6), None, 5),
        ((7, 1, 7, 7), None, 7),
        ((2, 0, 2, 2), None, 6),  # small and untagged: BT.601
        ((2, 0, 2, 2), (1280, 32), 1),  # wide and untagged: BT.709
    ],
)
def test_patches_come_back_with_their_tags(
    tags: tuple[int, ...], size: tuple[int, int] | None, used: int, identity: Model, tmp_path: Path
) -> None:
    full = tags[1] == 2
    source = planes(used, full)
    if size is not None:
        source = [np.repeat(plane, size[0] // 64, axis=1) for plane in source]
    make(tmp_path / "in.mp4", times=(0, 512), size=size or (64, 32), colour=tags, planes=lambda _: source)
    seen: list[np.ndarray] = []
    observer = lambda before, after, second: seen.append(before)  # noqa: E731
    translate_video(
        identity, tmp_path / "in.mp4", tmp_path / "out.mp4", video=VideoOptions(crf=1), observers=[observer]
    )
    result = facts(tmp_path / "out.mp4", planes=True)
    assert result.colour == tags
    wider = seen[0].shape[1] // 64
    width = 16 * wider
    model = seen[0][SIDE // 2 :: SIDE, width // 2 :: width].reshape(-1, 3)  # what the model saw
    assert np.abs(model.astype(int) - PATCHES).max() <= 2
    assert (
        np.abs(
            patches([plane[:, :: (size or (64,))[0] // 64] for plane in result.planes[0]], used, full) - PATCHES
        ).max()
        <= 3
    )


def test_ten_bits_stay_ten_bits(deep_identity: Model, tmp_path: Path) -> None:
    """HDR: a ramp of all 877 levels of luma between black and white, through a model of 16 bits."""
    ramp = np.tile(np.repeat(np.arange(64, 941, dtype=np.uint16), 1)[:876], (32, 1))
    grey = np.full((16, 438), 512, np.uint16)
    made = {"size": (876, 32), "pixel_format": "yuv420p10le", "colour": PQ}
    make(tmp_path / "in.mp4", times=(0, 512), planes=lambda _: [ramp, grey, grey], **made)
    before = facts(tmp_path / "in.mp4", planes=True)
    summary = translate_video(deep_identity, tmp_path / "in.mp4", tmp_path / "out.mp4", video=VideoOptions(crf=0))
    assert summary.notes == []
    result = facts(tmp_path / "out.mp4", planes=True)
    assert (result.codec, result.pixel_format, result.colour) == ("hevc", "yuv420p10le", PQ)
    assert np.array_equal(before.planes[0][0], ramp)
    assert len(np.unique(result.planes[0][0])) > 800
    assert np.abs(result.planes[0][0].astype(int) - ramp).max() <= 4


def test_patches_of_ten_bits(deep_identity: Model, tmp_path: Path) -> None:
    made = {"size": (64, 32), "pixel_format": "yuv420p10le", "colour": PQ}
    source = planes(9, False, 10)
    make(tmp_path / "in.mkv", times=(0, 512), planes=lambda _: source, **made)
    seen: list[np.ndarray] = []
    observer = lambda before, after, second: seen.append(before)  # noqa: E731
    fine = VideoOptions(crf=1)
    translate_video(deep_identity, tmp_path / "in.mkv", tmp_path / "out.mkv", video=fine, observers=[observer])
    model = seen[0][SIDE // 2 :: SIDE, SIDE // 2 :: SIDE].reshape(-1, 3) / 257
    assert np.abs(model - PATCHES).max() < 0.6  # libswscale's white is 255 * 256, which would be off by 1
    result = facts(tmp_path / "out.mkv", planes=True)
    assert result.colour == PQ
    assert np.abs(patches(result.planes[0], 9, False, 10) - PATCHES).max() <= 1.5


def test_a_note_says_that_ten_bits_become_eight(identity: Model, tmp_path: Path) -> None:
    made = {"size": (64, 32), "pixel_format": "yuv420p10le", "colour": PQ}
    source = planes(9, False, 10)
    make(tmp_path / "in.mp4", times=(0, 512), planes=lambda _: source, **made)
    summary = translate_video(identity, tmp_path / "in.mp4", tmp_path / "out.mp4", video=VideoOptions(crf=1))
    assert summary.notes == ["not carried over to libx264 in .mp4: more than 8 bits"]
    result = facts(tmp_path / "out.mp4", planes=True)
    assert (result.codec, result.pixel_format, result.colour) == ("h264", "yuv420p", PQ)
    assert np.abs(patches(result.planes[0], 9, False) - PATCHES).max() <= 3


@pytest.mark.parametrize("form", ["gbrap16le", "gbrap10le", "gbrp16le", "gbrp12le", "rgba64le"])
def test_rgb_of_more_than_eight_bits(form: str) -> None:
    """Of GBRA with 16 bits libswscale makes noise where alpha is to be left out."""
    ramp = np.linspace(0, 255, 96 * 64 * 3).reshape(64, 96, 3).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(ramp, "rgb24").reformat(format=form)
    result = colours.to_rgb(frame, colours.Colour.of(frame, "ffv1").resolved(96, 64, colours.FULL), True)
    assert result.shape == (64, 96, 3)
    assert np.abs(result / 257 - ramp).max() < 1.1


@pytest.mark.parametrize("form", ["yuv422p", "yuv444p"])
def test_the_chroma_of_the_source_is_kept(form: str, identity: Model, tmp_path: Path) -> None:
    make(tmp_path / "in.mp4", times=(0, 512), pixel_format=form, colour=HD)
    translate_video(identity, tmp_path / "in.mp4", tmp_path / "out.mp4", video=VideoOptions(crf=1))
    assert facts(tmp_path / "out.mp4").pixel_format == form


def test_ffv1_holds_the_models_pixels_as_they_are(identity: Model, tmp_path: Path) -> None:
    make(tmp_path / "in.mp4", times=(0, 512), colour=HD)
    seen: list[np.ndarray] = []
    observer = lambda before, after, second: seen.append(after)  # noqa: E731
    lossless = VideoOptions(codec="ffv1")
    summary = translate_video(identity, tmp_path / "in.mp4", tmp_path / "out.mkv", video=lossless, observers=[observer])
    assert summary.notes == []  # a matrix and a range, which its source has, are nothing to RGB
    with av.open(str(tmp_path / "out.mkv")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert all(np.array_equal(frame, result) for frame, result in zip(frames, seen, strict=True))
    assert len(frames) == 2


def test_bits_and_tags_that_do_not_fit_are_named(deep_identity: Model, tmp_path: Path) -> None:
    made = {"times": (0, 512), "codec": "ffv1", "colour": PQ}
    source = make(tmp_path / "in.mkv", pixel_format="yuv420p12le", **made)
    ten = make(tmp_path / "ten.mkv", pixel_format="yuv420p10le", **made)
    assert translate_video(deep_identity, source, tmp_path / "out.mp4").notes == [
        "not carried over to libx265 in .mp4: more than 10 bits, losslessness"
    ]
    assert translate_video(deep_identity, source, tmp_path / "a.mkv", video=VideoOptions(codec="ffv1")).notes == []
    (note,) = translate_video(deep_identity, ten, tmp_path / "ten.mp4").notes
    assert note.endswith(": losslessness")
    for format, bits in (("png", ""), ("jpeg", "more than 8 bits, ")):
        notes = translate_video(deep_identity, ten, tmp_path / format, Options(format=format)).notes
        fine = "" if format == "png" else ", losslessness"
        assert notes == [
            f"not carried over to a folder of {format.upper()} images: {bits}primaries, HDR transfer{fine}"
        ]
    with open(tmp_path / "out.y4m", "wb") as pipe:
        notes = translate_video(deep_identity, source, pipe).notes
    assert notes == ["not carried over to a pipe of frames: more than 10 bits, primaries, HDR transfer"]


@pytest.mark.parametrize(("full", "values"), [(False, [16, 126, 235, 0, 255]), (True, [0, 128, 255, 1, 254])])
def test_grey_is_of_the_range_that_it_says(full: bool, values: list[int]) -> None:
    """libswscale takes any grey for full range."""
    frame = av.VideoFrame(len(values), 1, "gray")
    row = np.frombuffer(memoryview(frame.planes[0]), np.uint8).copy()
    row[: len(values)] = values
    frame.planes[0].update(row.tobytes())
    result = colours.to_rgb(frame, colours.Colour(6, 2 if full else 1), False)
    expected = values if full else [0, 128, 255, 0, 255]
    assert result.tolist() == [[[level] * 3 for level in expected]]


@pytest.mark.parametrize(
    ("codec", "suffix", "form"),
    [
        ("rawvideo", ".avi", "gray"),
        ("rawvideo", ".mkv", "gray"),
        ("rawvideo", ".nut", "gray10le"),
        ("rawvideo", ".nut", "gray16le"),
        *(("ffv1", suffix, form) for suffix in (".avi", ".mkv") for form in GREY),
        ("png", ".avi", "gray"),
        ("png", ".avi", "gray16be"),
        ("png", ".mov", "gray"),
    ],
)
def test_untagged_grey_of_raw_and_lossless_codecs_is_full(
    codec: str, suffix: str, form: str, identity: Model, deep_identity: Model, tmp_path: Path
) -> None:
    """As FFmpeg and OpenCV return it; to the bit, in images and through FFV1."""
    bits = int(form[4:6] or 8)
    kind = np.dtype(np.uint8 if bits == 8 else ">u2" if form.endswith("be") else "<u2")
    ramp = np.tile(np.linspace(0, 2**bits - 1, 64).round().astype(kind), (48, 1))
    source = make(tmp_path / f"in{suffix}", times=(0, 1), base=Fraction(1, 25), last=1, codec=codec, pixel_format=form,
                  options={}, planes=lambda _: [ramp])  # fmt: skip
    model, peak = (identity, 255) if bits == 8 else (deep_identity, 65535)
    expected = np.rint(ramp.astype(float) * peak / (2**bits - 1))[..., None].repeat(3, axis=2)
    if bits == 8:
        done, seen = cv2.VideoCapture(str(source)).read()
        assert done
        assert np.array_equal(seen, expected)
    translate_video(model, source, tmp_path / "frames", Options(format="png"))
    assert np.array_equal(cv2.imread(str(tmp_path / "frames" / "000002.png"), cv2.IMREAD_UNCHANGED), expected)
    translate_video(model, source, tmp_path / "out.mkv", video=VideoOptions(codec="ffv1"))
    with av.open(str(tmp_path / "out.mkv")) as container:
        shown = [frame.to_ndarray(format="rgb24" if bits == 8 else "gbrp16le") for frame in container.decode(video=0)]
    assert len(shown) == 2
    assert all(np.array_equal(frame, expected) for frame in shown)
    translate_video(model, source, tmp_path / "out.mp4", video=VideoOptions(crf=1))
    assert facts(tmp_path / "out.mp4").colour[1] == colours.FULL


@pytest.mark.parametrize(("codec", "form"), [("libx264", "gray"), ("libx265", "gray"), ("libx265", "gray10le")])
def test_untagged_grey_of_broadcast_codecs_is_limited(
    codec: str, form: str, identity: Model, deep_identity: Model, tmp_path: Path
) -> None:
    scale = 4 if form == "gray10le" else 1
    ramp = np.tile(np.arange(16, 236, 4), (32, 1)).astype(np.uint16 if scale == 4 else np.uint8) * scale
    ramp = ramp[:, :54]
    made = {"size": (54, 32), "codec": codec, "pixel_format": form, "planes": lambda _: [ramp], "times": (0, 512)}
    source = make(tmp_path / "in.mkv", **made)
    seen: list[np.ndarray] = []
    model, peak = (identity, 255) if scale == 1 else (deep_identity, 65535)
    translate_video(model, source, None, observers=[lambda before, *_: seen.append(before)])
    expected = np.rint((ramp / scale - 16) * peak / 219)
    assert np.array_equal(seen[0][..., 0], expected)


@pytest.mark.parametrize(
    ("form", "codec", "expected"),
    [
        ("gray", "rawvideo", 2), ("gray16le", "ffv1", 2), ("ya8", "png", 2), ("gray", "jpeg2000", 2),
        ("gray", "h264", 1), ("gray10le", "hevc", 1), ("gray", "libdav1d", 1), ("yuv420p", "rawvideo", 1),
        ("yuv420p", "ffv1", 1), ("yuvj420p", "mjpeg", 2), ("bgr0", "ffv1", 2), ("pal8", "gif", 2), ("monow", "tiff", 2),
    ],
)  # fmt: skip
def test_default_ranges(form: str, codec: str, expected: int) -> None:
    assert colours.default_range(form, codec) == expected


def test_grey_in_floating_point_is_refused(identity: Model, tmp_path: Path) -> None:
    """Its bits are no numbers of a table."""
    with av.open(str(tmp_path / "in.mkv"), "w") as output:
        stream = output.add_stream("ffv1", rate=25, options={"strict": "experimental"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "grayf16le"
        frame = av.VideoFrame(64, 48, "grayf16le")
        frame.pts = 0
        output.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(VideoError, match=r"its grey is in floating point \(grayf16le\)"):
        translate_video(identity, tmp_path / "in.mkv", tmp_path / "out.mp4")


def test_what_players_guess() -> None:
    """mpv: wider than 1279 or higher than 576 is HD."""
    sizes = {(720, 576): 6, (1024, 576): 6, (1280, 544): 1, (640, 640): 1}
    assert {size: colours.guess(*size) for size in sizes} == sizes
