"""Animated GIF, WebP and PNG: to an animation, to a video, and from a video, with times, loops and transparency."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest
from onnx import helper
from PIL import ImageSequence

import i2i
from i2i.images import ImageError, read_header
from i2i.runtime import Model, Options
from i2i.runtime.video import VideoError, VideoOptions, detect, translate_video
from i2i.runtime.video.sink.delays import set_length
from i2i.runtime.video.sink.palette import to_palette
from tests import tiny
from tests.conftest import Command
from tests.runtime.video.clips import make, pattern
from tests.runtime.video.facts import facts

DELAYS = [70, 130, 40, 1500]  # milliseconds, a long pause at the end
COLOURS = [(200, 30, 60), (30, 200, 60), (30, 60, 200), (250, 220, 20)]
LOSSLESS = {"lossless": True, "exact": True}


def picture(number: int, alpha: int = 0) -> np.ndarray:
    """A flat RGBA [24, 32, 4] with a hole of that alpha that moves, and a dot."""
    rgba = np.zeros((24, 32, 4), np.uint8)
    rgba[...] = (*COLOURS[number % 4], 255)
    rgba[4:12, 4 + 4 * number : 10 + 4 * number, 3] = alpha
    rgba[20, 20] = (9, 8, 7, 255)
    return rgba


def animate(path: Path, alpha: int = 255, loop: int | None = 0, delays: list[int] | None = None) -> Path:
    frames = [PIL.Image.fromarray(picture(number, alpha)) for number in range(4)]
    options = {} if loop is None else {"loop": loop}
    options |= LOSSLESS if path.suffix == ".webp" else {"disposal": 2 if path.suffix == ".gif" else 1}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=delays or DELAYS, **options)
    return path


def shown(path: Path) -> tuple[list[np.ndarray], list[float], int | None]:
    """The frames of an animation in RGBA, their delays in milliseconds, and its loop count as stored."""
    with PIL.Image.open(path) as image:
        frames, delays = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(np.asarray(frame.convert("RGBA")))
            delays.append(frame.info["duration"])
        return frames, delays, image.info.get("loop")


def same(first: np.ndarray, second: np.ndarray, levels: int = 0) -> bool:
    """True if two pictures look alike: colours under full transparency do not count."""
    clear = (first[..., 3:] == 0) & (second[..., 3:] == 0)
    return bool((np.abs(np.where(clear, 0, first.astype(int) - second)) <= levels).all())


@pytest.mark.parametrize("alpha", [255, 0])
@pytest.mark.parametrize("after", [".gif", ".png", ".apng", ".webp"])
@pytest.mark.parametrize("before", [".gif", ".png", ".webp"])
def test_an_animation_stays_one(before: str, after: str, alpha: int, identity: Model, tmp_path: Path) -> None:
    """To the pixel: their colours are few, and a WebP of quality 100 is lossless."""
    source = animate(tmp_path / f"in{before}", alpha)
    summary = translate_video(identity, source, tmp_path / f"out{after}", Options(quality=100))
    assert (summary.frames, summary.damage, summary.notes) == (4, None, [])
    frames, delays, loop = shown(tmp_path / f"out{after}")
    assert (delays, loop) == (DELAYS, 0)
    assert all(same(frame, picture(number, alpha)) for number, frame in enumerate(frames))


@pytest.mark.parametrize("lossless", [True, False])
def test_a_lossless_webp_stays_lossless(lossless: bool, identity: Model, tmp_path: Path) -> None:
    frames = [PIL.Image.fromarray(pattern(number, 64, 48)) for number in range(4)]
    frames[0].save(tmp_path / "in.webp", save_all=True, append_images=frames[1:], lossless=lossless, quality=90)
    translate_video(identity, tmp_path / "in.webp", tmp_path / "out.webp")
    before, after = shown(tmp_path / "in.webp")[0], shown(tmp_path / "out.webp")[0]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True)) == lossless
    assert [read_header(tmp_path / name).coding for name in ("in.webp", "out.webp")] == 2 * ["lossless" * lossless]


@pytest.mark.parametrize(
    ("before", "loop", "after", "expected"),
    [
        (".gif", None, ".gif", None),  # shown once
        (".gif", 2, ".gif", 2),  # shown three times
        (".gif", 2, ".png", 3),
        (".gif", None, ".webp", 1),
        (".png", 3, ".gif", 2),
        (".png", 1, ".gif", None),
        (".webp", 5, ".webp", 5),
        (".webp", 5, ".png", 5),
    ],
)
def test_the_loop_count_is_kept(
    before: str, loop: int | None, after: str, expected: int | None, identity: Model, tmp_path: Path
) -> None:
    translate_video(identity, animate(tmp_path / f"in{before}", loop=loop), tmp_path / f"out{after}")
    assert shown(tmp_path / f"out{after}")[2] == expected


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_an_animation_becomes_a_video(suffix: str, identity: Model, tmp_path: Path) -> None:
    source = animate(tmp_path / f"in{suffix}", alpha=0)
    summary = translate_video(identity, source, tmp_path / "out.mp4", video=VideoOptions(crf=1))
    assert summary.notes == [
        "not carried over to libx264 in .mp4: alpha (composited on a grey of level 255), losslessness, loop count",
    ]
    result = facts(tmp_path / "out.mp4")
    assert result.times == [0, Fraction(7, 100), Fraction(20, 100), Fraction(24, 100)]
    assert result.length == Fraction(174, 100)
    assert (result.codec, result.pixel_format) == ("h264", "yuv420p")  # which every player shows
    with av.open(str(tmp_path / "out.mp4")) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(first[16, 4] - COLOURS[0]).max() <= 4
    assert np.abs(first[8, 6] - 255).max() <= 4


@pytest.mark.parametrize("suffix", [".gif", ".apng", ".webp"])
def test_a_video_becomes_an_animation(suffix: str, identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 1024, 1536, 5120), last=12800, sound=0.3, tags={"title": "A title"})
    summary = translate_video(identity, source, tmp_path / f"out{suffix}", Options(quality=90))
    frames, delays, loop = shown(tmp_path / f"out{suffix}")
    assert (delays, loop) == ([80, 40, 280, 1000], 0)
    for number, frame in enumerate(frames):
        off = np.abs(frame[..., :3].astype(int) - pattern(number, 64, 48))
        assert off.mean() < 8
    assert any(f" in {suffix}: stream 1 (audio, aac), metadata title" in note for note in summary.notes)
    assert any("256 colours" in note for note in summary.notes) == (suffix == ".gif")


def test_equal_frames_become_a_still_webp_and_that_is_named(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=(0, 512, 1024), picture=lambda _: np.full((48, 64, 3), 90, np.uint8))
    summary = translate_video(identity, source, tmp_path / "out.webp")
    assert "all frames are equal, so the WebP is a still picture" in summary.notes
    with PIL.Image.open(tmp_path / "out.webp") as image:
        still = np.asarray(image.convert("RGB"))
    assert still.shape == (48, 64, 3)
    assert np.abs(still.astype(int) - 90).max() <= 4


def test_soft_edges_are_kept_where_the_format_has_alpha(identity: Model, tmp_path: Path) -> None:
    source = animate(tmp_path / "in.png", alpha=100)
    for suffix, alpha in ((".png", 100), (".webp", 100), (".gif", 0)):
        summary = translate_video(identity, source, tmp_path / f"out{suffix}", Options(quality=100))
        frames, _, _ = shown(tmp_path / f"out{suffix}")
        assert [frame[8, 6 + 4 * number, 3] for number, frame in enumerate(frames)] == 4 * [alpha]
        half = ["a GIF holds no half-transparent pixels: those of 50 % and more became opaque"]
        assert summary.notes == (half if suffix == ".gif" else [])


def glass(path: Path) -> Model:
    """A model that returns its source with an alpha of 100 at most."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=1),
        helper.make_node("Min", ["f", "most"], ["g"]),
        helper.make_node("Cast", ["g"], ["y"], to=2),
    ]
    ends = [[(name, "uint8", ["n", "h", "w", 4])] for name in "xy"]
    constants = {"most": np.array([255, 255, 255, 100], np.float32)}
    return Model(tiny.write(path, nodes, tiny.RGBA, constants, *ends), "cpu", 1, side_by_side=True)


@pytest.mark.parametrize("steady", [False, True])
def test_the_alpha_that_a_model_returns_is_kept_or_named(steady: bool, tmp_path: Path) -> None:
    model, video = glass(tmp_path / "glass.onnx"), VideoOptions(steady=steady)
    source = animate(tmp_path / "in.png")  # opaque
    translate_video(model, source, tmp_path / "out.webp", Options(quality=100), video)
    assert all((frame[..., 3] == 100).all() for frame in shown(tmp_path / "out.webp")[0])
    translate_video(model, source, tmp_path / "frames", Options(format="png"), video)
    with PIL.Image.open(tmp_path / "frames" / "000003.png") as image:
        assert same(np.asarray(image)[:1], np.dstack([picture(2)[:1, :, :3], np.full((1, 32), 100, np.uint8)]))
    notes = translate_video(model, source, tmp_path / "out.mp4", Options(background=0), video).notes
    assert any("in .mp4: alpha (composited on a grey of level 0)" in note for note in notes)
    with av.open(str(tmp_path / "out.mp4")) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(first[0, 0] - np.array(COLOURS[0]) * 100 / 255).max() <= 4


def test_the_grey_under_soft_edges_is_taken_out_again(identity: Model, tmp_path: Path) -> None:
    """As of images: what is composited on a grey for the model is not composited a second time by its alpha."""
    frames = [picture(number, 100) for number in range(4)]
    for frame in frames:
        frame[14:18, :, 3] = 0
    first, *others = map(PIL.Image.fromarray, frames)
    first.save(tmp_path / "in.png", save_all=True, append_images=others, duration=100, disposal=1)
    translate_video(identity, tmp_path / "in.png", tmp_path / "out.png", Options(background=0))
    assert all(same(*pair, levels=2) for pair in zip(shown(tmp_path / "out.png")[0], frames, strict=True))


def test_transparent_frames_as_images_stay_so(identity: Model, tmp_path: Path) -> None:
    source = animate(tmp_path / "in.gif", alpha=0)
    summary = translate_video(identity, source, tmp_path / "png", Options(format="png"))
    assert summary.notes == ["not carried over to a folder of PNG images: loop count"]
    with PIL.Image.open(tmp_path / "png" / "000002.png") as image:
        assert same(np.asarray(image), picture(1))
    jpeg = translate_video(identity, source, tmp_path / "jpeg", Options(format="jpeg", background=0))
    assert any("JPEG images: alpha (composited on a grey of level 0), " in note for note in jpeg.notes)


@pytest.mark.parametrize(("codec", "form"), [("ffv1", "bgra"), ("ffv1", "yuva420p"), ("qtrle", "argb")])
def test_a_transparent_video_keeps_its_alpha_where_possible(
    codec: str, form: str, identity: Model, tmp_path: Path
) -> None:
    path = tmp_path / ("in.mov" if codec == "qtrle" else "in.mkv")
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, form
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgba").reformat(format=form)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert translate_video(identity, path, tmp_path / "out.webp", Options(quality=100)).notes == []
    frames, delays, _ = shown(tmp_path / "out.webp")
    assert (len(frames), delays) == (3, 3 * [40])
    assert [frame[8, 6 + 4 * number, 3] for number, frame in enumerate(frames)] == 3 * [0]
    if form != "yuva420p":  # whose chroma of the edges is mixed
        assert all(same(frame, picture(number)) for number, frame in enumerate(frames))
    notes = translate_video(identity, path, tmp_path / "out.mp4", video=VideoOptions(crf=1)).notes
    assert "alpha (composited on a grey of level 255)" in notes[0]
    with av.open(str(tmp_path / "out.mp4")) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(first[8, 6] - 255).max() <= 6


def test_a_model_that_enlarges_enlarges_transparency_too(twice: Model, tmp_path: Path) -> None:
    source = animate(tmp_path / "in.gif", alpha=0)
    translate_video(twice, source, tmp_path / "out.gif")
    frames, delays, _ = shown(tmp_path / "out.gif")
    assert delays == DELAYS
    for number, frame in enumerate(frames):
        assert frame.shape == (48, 64, 4)
        assert np.array_equal(frame[8:22:4, ::4, 3], picture(number)[4:11:2, ::2, 3])


def test_times_can_be_cut_and_made_even(identity: Model, tmp_path: Path) -> None:
    source = animate(tmp_path / "in.gif")
    translate_video(identity, source, tmp_path / "out.gif", video=VideoOptions(fps=10))
    assert shown(tmp_path / "out.gif")[1] == 18 * [100]
    translate_video(identity, source, tmp_path / "cut.gif", video=VideoOptions(start=0.07, end=0.24))
    assert shown(tmp_path / "cut.gif")[1] == [130, 40]
    translate_video(identity, source, tmp_path / "late.gif", video=VideoOptions(start=0.1))
    frames, delays, _ = shown(tmp_path / "late.gif")
    assert delays == [100, 40, 1500]
    assert same(frames[0], picture(1, 255))  # which is on display then
    with pytest.raises(VideoError, match="it has no frame between start and end"):
        translate_video(identity, source, tmp_path / "none.gif", video=VideoOptions(start=9))


def test_delays_that_browsers_replace_are_replaced_alike(identity: Model, tmp_path: Path) -> None:
    source = animate(tmp_path / "in.gif", delays=[0, 10, 20, 30])
    translate_video(identity, source, tmp_path / "out.webp")
    assert shown(tmp_path / "out.webp")[1] == [100, 100, 20, 30]


def test_more_frames_than_players_show_are_refused(identity: Model, tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", times=range(0, 12 * 213, 213), base=Fraction(1, 12800))
    with pytest.raises(ValueError, match=r"more than 50 frames a second slowly, and these are .*: give --fps 50 "):
        translate_video(identity, source, tmp_path / "out.gif")
    translate_video(identity, source, tmp_path / "out.gif", video=VideoOptions(fps=50))
    assert set(shown(tmp_path / "out.gif")[1]) == {20}


def test_an_animation_that_becomes_a_gif_shown_slowly_is_named(identity: Model, tmp_path: Path) -> None:
    source = animate(tmp_path / "in.png", delays=[16, 17, 17, 16])
    slowly = "its frames are more than 50 a second, and players show such a GIF slowly: --fps 50 or less prevents it"
    assert slowly in translate_video(identity, source, tmp_path / "out.gif").notes
    assert slowly not in translate_video(identity, source, tmp_path / "even.gif", video=VideoOptions(fps=50)).notes


def test_frames_that_a_gif_cannot_tell_apart_in_time_keep_their_order(identity: Model, tmp_path: Path) -> None:
    """Frames 4 ms apart in a video of 25 a second on average: each is shown for 10 ms at least."""
    times = [0, 51, 102, 5120, 5632]
    translate_video(identity, make(tmp_path / "in.mp4", times=times), tmp_path / "out.gif")
    frames, delays, _ = shown(tmp_path / "out.gif")
    assert (len(frames), delays) == (5, [10, 10, 380, 40, 40])


def test_names_and_places(identity: Model, identity_file: Path, i2i_inside: Command, tmp_path: Path) -> None:
    animate(tmp_path / "a.gif")
    animate(tmp_path / "b.png")
    assert i2i.translate(tmp_path / "a.gif", model=identity) == tmp_path / "a-identity.gif"
    assert i2i.translate(tmp_path / "b.png", model=identity) == tmp_path / "b-identity.png"
    assert i2i.translate(tmp_path / "b.png", f"{tmp_path}/new/", identity) == tmp_path / "new" / "b.png"
    assert [len(shown(tmp_path / name)[1]) for name in ("a-identity.gif", "b-identity.png", "new/b.png")] == [4, 4, 4]
    done = i2i_inside("translate", tmp_path / "a.gif", tmp_path / "a.mp4", "-m", identity_file)
    assert done.returncode == 0, done.stderr
    assert "a.mp4: 4 frames" in done.stdout
    assert len(facts(tmp_path / "a.mp4").times) == 4
    i2i.translate(tmp_path / "a.gif", tmp_path / "first.jpg", identity)  # an image of one frame, as it is called
    assert read_header(tmp_path / "first.jpg").format == "JPEG"
    clip = make(tmp_path / "clip.mp4", times=(0, 512))
    with pytest.raises(ValueError, match="--format png for a folder of frames"):
        i2i.translate(clip, tmp_path / "clip.png", identity)


def test_what_is_an_animation(tmp_path: Path) -> None:
    PIL.Image.fromarray(picture(0)).save(tmp_path / "still.gif")
    PIL.Image.fromarray(picture(0)).save(tmp_path / "still.png")
    animate(tmp_path / "in.gif")
    animate(tmp_path / "in.webp").rename(tmp_path / "in")
    make(tmp_path / "clip.mp4").rename(tmp_path / "clip.png")
    names = ("still.gif", "still.png", "in.gif", "in", "clip.png", "none.gif")
    assert [detect.is_video(tmp_path / name) for name in names] == [False, False, True, True, True, False]
    targets = ("x.mp4", "x.gif", "x.png", "folder/", "frames", "x.jpg", "x.tif", "-")
    assert [detect.is_video(tmp_path / "in.gif", each) for each in targets] == 5 * [True] + 3 * [False]


def test_a_video_that_is_called_like_an_image_is_one(identity: Model, tmp_path: Path) -> None:
    make(tmp_path / "clip.mp4", times=(0, 512)).rename(tmp_path / "clip.png")
    assert i2i.translate(tmp_path / "clip.png", model=identity) == tmp_path / "clip-identity.mkv"
    with pytest.raises(ImageError, match=r"this is a video \(MP4 or QuickTime\), not an image; a video is"):
        read_header(tmp_path / "clip.png")  # as a folder of images meets it


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_the_frames_of_a_truncated_animation_are_kept(suffix: str, identity: Model, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [PIL.Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)) for _ in range(8)]
    frames[0].save(tmp_path / "whole.x", suffix[1:], save_all=True, append_images=frames[1:], duration=100)
    data = (tmp_path / "whole.x").read_bytes()
    source = tmp_path / f"in{suffix}"
    source.write_bytes(data[: len(data) * 5 // 8])
    if suffix != ".gif":  # the readers of the others take no part of a file
        error, reason = (ImageError, "truncated") if suffix == ".png" else (VideoError, "damaged WEBP data")
        with pytest.raises(error, match=reason):
            i2i.translate(source, tmp_path / "out.mp4", identity)
        return
    summary = translate_video(identity, source, tmp_path / "out.mp4")
    assert 4 <= summary.frames <= 5
    assert summary.damage is not None
    assert summary.damage.startswith(f"damaged: {summary.frames}")


def test_a_palette_is_exact_up_to_256_colours() -> None:
    ramp = np.stack([np.arange(256)] * 3, axis=1).astype(np.uint8).reshape(16, 16, 3)
    frame, reduced = to_palette(ramp)
    assert (np.array_equal(frame.to_ndarray(format="rgb24"), ramp), reduced) == (True, False)
    clear = np.full((16, 16), 255, np.uint8)
    clear[0, 0] = 0
    frame, reduced = to_palette(ramp, clear)  # 255 colours are left
    assert not reduced
    assert np.array_equal(frame.to_ndarray(format="rgba")[..., 3], clear)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    frame, reduced = to_palette(noise)
    assert reduced
    assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - noise).mean() < 30


def test_the_last_delay_is_set_to_what_is_left(tmp_path: Path) -> None:
    for suffix in (".gif", ".png", ".webp"):
        path = animate(tmp_path / f"in{suffix}")
        set_length(path, {".png": "apng"}.get(suffix, suffix[1:]), Fraction(3))
        frames, delays, _ = shown(path)
        assert (delays, len(frames)) == ([70, 130, 40, 2760], 4)
    data = (tmp_path / "in.png").read_bytes()
    assert data.count(b"fcTL") == 4
    assert struct.unpack(">I", data[-4:])[0] == 0xAE426082
