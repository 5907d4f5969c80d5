"""Steady pictures: what is carried from frame to frame, where it ends, and that it is the same however it is done."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper

from i2i.metrics import psnr
from i2i.runtime import Model, ModelError, NonFiniteError, load
from i2i.runtime.errors import TooLargeError
from i2i.runtime.video import VideoOptions, pipeline, translate_video
from i2i.runtime.video.frame.item import FramePosition
from i2i.runtime.video.temporal.flicker import Flicker
from i2i.runtime.video.temporal.frame_state import FrameFailedError, OrderedValues
from i2i.runtime.video.temporal.running_statistics import LAG, OWN, RunningStatistics, _BlendedSession
from i2i.runtime.video.temporal.smoothing import Smoother
from tests import tiny
from tests.conftest import ROOT
from tests.runtime.tiles.networks import network, photo
from tests.runtime.video.clips import make
from tests.runtime.video.facts import facts

SIZE = (96, 64)
STEADY = VideoOptions(steady=True)


def scene(number: int, noise: float = 3.0) -> np.ndarray:
    """Grain over a picture that stands still, and a square that moves over it."""
    picture = photo(SIZE[1], SIZE[0]).astype(np.float32)
    picture += np.random.default_rng(number).normal(0, noise, picture.shape)
    picture[20:36, 4 * number % 80 : 4 * number % 80 + 16] = (230, 40, 60)
    return picture.clip(0, 255).astype(np.uint8)


def results(model: Model, source: Path, options: VideoOptions = STEADY) -> np.ndarray:
    seen: list[np.ndarray] = []
    translate_video(model, source, None, video=options, observers=[lambda before, after, second: seen.append(after)])
    return np.stack(seen)


@pytest.fixture(scope="module")
def normalising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network(tmp_path_factory.mktemp("net") / "net.onnx")


@pytest.fixture(scope="module")
def model(normalising: Path) -> Model:
    return Model(normalising, "cpu", 2, side_by_side=True)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "in.mkv", size=SIZE, codec="ffv1", picture=scene)


def test_flicker_falls_and_a_still_is_little_worse(model: Model, clip: Path, tmp_path: Path) -> None:
    plain, steady = results(model, clip, VideoOptions()), results(model, clip)
    still = np.s_[:, 44:, :]  # where nothing but the grain changes
    flicker = [np.abs(np.diff(each[still].astype(int), axis=0)).mean() for each in (plain, steady)]
    assert flicker[1] < 0.5 * flicker[0]
    assert np.array_equal(plain[0], steady[0])
    clear = make(tmp_path / "clear.mkv", size=SIZE, codec="ffv1", picture=lambda n: scene(n, noise=0))
    meant = results(model, clear, VideoOptions())[-1].astype(float)
    errors = [np.abs(each[-1] - meant).mean() for each in (plain, steady)]
    assert errors[1] < 1.25 * errors[0]  # of this network, which enlarges grain far more than those of photos do
    summaries = [translate_video(model, clip, None, video=each) for each in (VideoOptions(), STEADY)]
    assert summaries[1].flicker is not None
    assert summaries[0].flicker is not None
    assert summaries[1].flicker < 0.7 * summaries[0].flicker
    assert summaries[1].source_flicker == summaries[0].source_flicker


@pytest.mark.slow
@pytest.mark.parametrize("name", ["car-detection.mp4", "bikes.mp4"])
def test_real_clips_through_the_default_model(
    name: str, reference: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.8 s of each, small: at least 30 % of the flicker goes, and stills are those of frames by themselves."""
    with av.open(str(reference(f"data/video/{name}"))) as container:
        frames = [f.to_ndarray(format="rgb24") for f in itertools.islice(container.decode(video=0), 30, 50)]
    size = (round(180 * frames[0].shape[1] / frames[0].shape[0] / 2) * 2, 180)
    small = [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]
    clip = make(
        tmp_path / "clip.mkv", size=size, codec="ffv1", times=range(0, 20 * 512, 512), picture=lambda n: small[n]
    )
    monkeypatch.setattr(Flicker.__init__, "__defaults__", (1,))  # every pair, of so few frames
    model = Model(ROOT / "weights" / "day2night.onnx", "cpu", 2, side_by_side=True)
    shown: list[list[np.ndarray]] = [[], []]
    done = [
        translate_video(model, clip, None, video=options, observers=[lambda _, result, __, to=to: to.append(result)])
        for options, to in zip((VideoOptions(), STEADY), shown, strict=True)
    ]
    assert done[0].flicker is not None
    assert done[1].flicker is not None
    assert done[1].flicker < 0.7 * done[0].flicker
    assert np.mean([psnr(a, b) for a, b in zip(shown[0][1:], shown[1][1:], strict=True)]) > 35


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_pixels_do_not_depend_on_the_workers(threads: int, model: Model, normalising: Path, clip: Path) -> None:
    """Nor on the number of frames in work when another one begins."""
    expected = results(model, clip)
    for _ in range(2):
        assert np.array_equal(results(Model(normalising, "cpu", threads, side_by_side=True), clip), expected)


def test_another_provider_averages_statistics_too(model: Model, normalising: Path, clip: Path) -> None:
    pytest.importorskip("openvino")
    other = results(Model(normalising, "openvino", 2, side_by_side=True), clip)
    assert np.abs(other.astype(int) - results(model, clip)).mean() < 1


@pytest.mark.parametrize(("tile", "carried"), [("auto", True), ("exact", True), (4096, True), (16, False)])
def test_tiled_frames_carry_no_statistics(
    tile: str | int, carried: bool, model: Model, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note says so; frames that fit into one tile are not cut."""
    monkeypatch.setattr(Model, "run", lambda model, batch: batch)
    notes = translate_video(model.tiled(tile), clip, None, video=STEADY).notes
    assert notes == [] if carried else "(its frames are translated in tiles)" in notes[0]


def test_large_frames_one_after_the_other(model: Model, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = results(model, clip)
    monkeypatch.setattr(pipeline, "LARGE", 1000)
    assert np.array_equal(results(model, clip), expected)


def test_frames_beyond_the_memory_are_refused(model: Model, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i.runtime.memory import estimate

    monkeypatch.setattr(pipeline, "LARGE", 1000)
    monkeypatch.setattr(estimate, "available_memory", lambda: 1)
    with pytest.raises(ModelError, match="or leave out --steady: its frames cannot be cut into tiles"):
        results(model, clip)


def test_a_graph_of_a_fixed_size_has_room_for_any_frame(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the same memory for a large frame as for a small one."""
    from i2i.runtime.memory import estimate

    nodes = [helper.make_node("InstanceNormalization", ["x", "scale", "bias"], ["y"])]
    constants = {"scale": np.full(3, 0.2, np.float32), "bias": np.full(3, 0.5, np.float32)}
    ends = [[(name, "float32", [1, 3, 8, 8])] for name in "xy"]
    path = tiny.write(tmp_path / "style.onnx", nodes, None, constants, *ends)
    style = load(path, "cpu", 2, range=(0, 1), output_range=(0, 1), order="rgb", fit="resize")
    monkeypatch.setattr(pipeline, "LARGE", 1000)
    monkeypatch.setattr(estimate, "available_memory", lambda: 1)
    summary = translate_video(style, clip, None, video=STEADY)
    assert (summary.frames, summary.notes) == (12, [])


def test_running_out_of_memory_is_an_error_with_a_remedy(
    normalising: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise TooLargeError("Failed to allocate memory for requested buffer")

    monkeypatch.setattr(_BlendedSession, "run", full)
    with pytest.raises(TooLargeError, match=r"cpu memory does not hold this image .*, or leave out --steady"):
        results(Model(normalising, "cpu", 2, side_by_side=True), clip)


def test_a_bare_network_says_what_sizes_it_takes(tmp_path: Path, clip: Path) -> None:
    nodes = [helper.make_node("InstanceNormalization", ["x", "scale", "bias"], ["y"])]
    constants = {"scale": np.full(3, 0.2, np.float32), "bias": np.zeros(3, np.float32)}
    ends = [[(name, "float32", ["n", 3, "h", "w"])] for name in "xy"]
    spec = replace(tiny.RGB, io="tensor", multiple=20)
    model = Model(tiny.write(tmp_path / "bare.onnx", nodes, spec, constants, *ends), "cpu", 2, side_by_side=True)
    with pytest.raises(ModelError, match="is a bare network that takes at least 1 pixel in multiples of 20"):
        results(model, clip)


def test_a_frame_on_which_float16_overflows_is_computed_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the same statistics; and those it leaves behind are finite."""

    half = Model(normalised_in_half(tmp_path / "half.onnx"), "cpu", 1, side_by_side=True)
    rows = np.arange(8, dtype=np.float32)[:, None, None]
    frames = [np.full((8, 8, 3), level, np.float32) + rows for level in (90, 200, 100, 200, 90, 90)]
    steady, other, run = RunningStatistics(half, 0.25, True), RunningStatistics(half, 0.25, True), _BlendedSession.run
    expected = [other(frame, FramePosition(n, 0, 0.04)) for n, frame in enumerate(frames)]

    def overflows(self: _BlendedSession, feeds: dict[str, np.ndarray], output: object) -> list[np.ndarray]:
        (result,) = run(self, feeds)
        if self._session is steady._wide or feeds["x"].mean() < 120:
            return [result]
        self.used[-1] = np.full_like(self.used[-1], np.nan)
        return [np.full_like(result, np.nan)]

    monkeypatch.setattr(_BlendedSession, "run", overflows)
    shown = [steady(frame, FramePosition(n, 0, 0.04)) for n, frame in enumerate(frames)]
    np.testing.assert_allclose(shown, expected, atol=40)  # of 65535
    assert "half.onnx: float16 overflows on some images" in caplog.text


def normalised_in_half(path: Path) -> Path:
    nodes = [
        helper.make_node("Transpose", ["x"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["channels"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("InstanceNormalization", ["half", "scale", "bias"], ["normal"], epsilon=1.0),
        helper.make_node("Cast", ["normal"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["whole"], ["y"], perm=[0, 2, 3, 1]),
    ]
    constants = {"scale": np.full(3, 40, np.float16), "bias": np.full(3, 20000, np.float16)}
    ends = [[(name, "float32", ["n", "h", "w", 3])] for name in "xy"]
    return tiny.write(path, nodes, replace(tiny.DEEP, precision="fp16"), constants, *ends)


def test_a_model_of_several_domains_must_be_bound(tmp_path: Path, clip: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["steps", "target"], ["step"]),
        helper.make_node("Transpose", ["x"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("InstanceNormalization", ["channels", "scale", "bias"], ["normal"]),
        helper.make_node("Transpose", ["normal"], ["back"], perm=[0, 2, 3, 1]),
        helper.make_node("Add", ["back", "step"], ["y"]),
    ]
    constants = {"scale": np.ones(3, np.float32), "bias": np.full(3, 9000, np.float32)}
    constants["steps"] = np.array([0, 10000, 20000], np.float32).reshape(3, 1, 1, 1)
    ends = [[(name, "float32", ["n", "h", "w", 3])] for name in "xy"]
    ends[0].append(("target", "int64", ["n"]))
    path = tiny.write(tmp_path / "m.onnx", nodes, replace(tiny.DEEP, domains=tiny.WEATHER.domains), constants, *ends)
    model = Model(path, "cpu", 2, side_by_side=True)
    with pytest.raises(ModelError, match="a domain is missing: choose one of"):
        translate_video(model, clip, None, video=STEADY)
    assert results(model.toward("rain"), clip).mean() == pytest.approx(19000 / 257, abs=1)


def test_a_fade_in_resets_the_statistics(model: Model, tmp_path: Path) -> None:
    """The dark frames at its beginning, with almost no contrast, do not count."""
    still = photo(SIZE[1], SIZE[0])
    share = lambda n: min(max((n - 12) / 25, 0), 1)  # noqa: E731
    fade = make(
        tmp_path / "fade.mkv",
        size=SIZE,
        codec="ffv1",
        times=range(0, 50 * 512, 512),
        picture=lambda n: np.rint(share(n) * still).astype(np.uint8),
    )
    plain, steady = results(model, fade, VideoOptions()), results(model, fade)
    off = np.abs(steady.astype(int) - plain).mean((1, 2, 3))
    assert off[20:].max() < 10
    assert off[37:].max() < 2


def test_nothing_is_carried_over_a_cut(model: Model, tmp_path: Path) -> None:
    """After the cut the result is the same as if the clip began there."""

    def other(number: int) -> np.ndarray:
        return 255 - scene(number)

    both = make(tmp_path / "both.mkv", size=SIZE, codec="ffv1", picture=lambda n: scene(n) if n < 5 else other(n))
    alone = make(
        tmp_path / "alone.mkv", size=SIZE, codec="ffv1", times=range(0, 7 * 512, 512), picture=lambda n: other(n + 5)
    )
    assert np.array_equal(results(model, both)[5:], results(model, alone))


@pytest.fixture(scope="module")
def levelling(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Takes the mean of each channel away, and the standard deviation, and gives 40 s + 128."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("InstanceNormalization", ["channels", "scale", "bias"], ["normal"], epsilon=1.0),
        helper.make_node("Transpose", ["normal"], ["y"], perm=[0, 2, 3, 1]),
    ]
    constants = {"scale": np.full(3, 4000, np.float32), "bias": np.full(3, 20000, np.float32)}
    ends = [[(name, "float32", ["n", "h", "w", 3])] for name in "xy"]
    path = tmp_path_factory.mktemp("level") / "level.onnx"
    return Model(tiny.write(path, nodes, tiny.DEEP, constants, *ends), "cpu", 1, side_by_side=True)


@pytest.mark.parametrize("steps", [[0.04] * 12, [0.04, 0.1, 0.02, 0.5, 0.04, 0.04, 0.3, 0.01, 0.04, 0.2, 0.04, 0.1]])
def test_the_statistics_are_averages_in_time(steps: list[float], levelling: Model) -> None:
    """Against the recurrence, written out; of a variable rate too."""
    carried, seconds = RunningStatistics(levelling, 0.25, True), 0.25
    rng = np.random.default_rng(0)
    averages: list[np.ndarray] = []
    for number, step in enumerate(steps):
        image = rng.normal(20000 + 1000 * number, 3000, (8, 8, 3)).astype(np.float32)
        result = carried(image, FramePosition(number, 0, step))
        own = np.stack([image.mean((0, 1)), image.var((0, 1))])
        used = own if number == 0 else OWN * own + (1 - OWN) * averages[max(0, number - LAG)]
        expected = (image - used[0]) / np.sqrt(used[1] + 1) * 4000 + 20000
        np.testing.assert_allclose(result, expected, atol=20)
        share = 1 - np.exp(-step / seconds)
        averages.append(own if number == 0 else averages[-1] + share * (own - averages[-1]))


def test_half_the_picture_becomes_dark(levelling: Model) -> None:
    """The other half does not change, as it would under each frame's own statistics."""
    steady, bright = RunningStatistics(levelling, 0.5, True), np.full((8, 8, 3), 30000, np.float32)
    bright[::2] = 20000
    dark = bright.copy()
    dark[:, 4:] = 2000
    before = steady(bright, FramePosition(0, 0, 0.0))
    after = steady(dark, FramePosition(1, 0, 0.04))
    alone = RunningStatistics(levelling, 0.5, True)(dark, FramePosition(0, 0, 0.0))
    assert np.abs(after - before)[:, :4].mean() < 0.5 * np.abs(alone - before)[:, :4].mean()


def _blend(steps: list[float], pictures: Callable[[int], np.ndarray], results: Callable[[int], np.ndarray]):
    """Return the smoothed results, without running statistics."""
    steady = Smoother.__new__(Smoother)
    steady._seconds, steady._carried, steady._memories = 0.25, None, OrderedValues()
    return [steady.blend(FramePosition(n, 0, step), pictures(n), results(n)) for n, step in enumerate(steps)]


def test_results_are_averaged_where_the_source_is_still() -> None:
    """Of levels 0, 11, 0, 0: by the formula, at steps of 40 and of 250 ms."""
    levels = [0, 11, 0, 0]
    flat = lambda n: np.full((48, 64, 3), levels[n], np.uint8)  # noqa: E731
    shown = _blend([0, 0.04, 0.04, 0.25], lambda n: np.full((48, 64, 3), 90, np.uint8), flat)
    first = 11 * (1 - np.exp(-0.16))
    expected = [0, first, first * np.exp(-0.16), first * np.exp(-1.16)]
    for picture, level in zip(shown, expected, strict=True):
        assert np.abs(picture - level).max() <= 0.5


def test_results_that_differ_strongly_are_kept_until_the_source_changes() -> None:
    """A mean of two would be like neither of them."""
    strokes = [np.random.default_rng(n).integers(0, 256, (48, 64, 3)).astype(np.uint8) for n in range(6)]
    grain = lambda n: 90 + np.random.default_rng(n).integers(-2, 3, (48, 64, 3))  # noqa: E731
    source = lambda n: (grain(n) + 60 * (n > 3)).astype(np.uint8)  # noqa: E731
    shown = _blend([0.04] * 6, source, lambda n: strokes[n])
    assert [next(k for k, each in enumerate(strokes) if np.array_equal(each, p)) for p in shown] == [0, 0, 0, 0, 4, 4]


def test_a_change_that_is_slow_is_not_missed() -> None:
    """By half a level a frame, over 4 seconds: far less than grain, and in the end another picture."""
    strokes = [np.random.default_rng(n).integers(0, 256, (48, 64, 3)).astype(np.uint8) for n in range(100)]
    shown = _blend([0.04] * 100, lambda n: np.full((48, 64, 3), 60 + n // 2, np.uint8), lambda n: strokes[n])
    kept = [sum(np.array_equal(each, picture) for picture in shown) for each in strokes]
    assert max(kept) < 20


def test_where_the_source_changes_the_result_does() -> None:
    source = lambda n: np.full((48, 64, 3), 40 + 90 * (n == 1), np.uint8)  # noqa: E731
    shown = _blend([0, 0.04], source, lambda n: np.full((48, 64, 3), 10 + 200 * n, np.uint8))
    assert shown[1].min() == 210


def test_a_change_that_the_result_does_not_show_keeps_the_average() -> None:
    """The source has noise of 25 levels, its translation flickers by 3: the noise alone would end the average."""
    pattern = np.random.default_rng(0).integers(-12, 13, (2, 48, 64, 3))
    source = lambda n: (90 + pattern[n % 2]).astype(np.uint8)  # noqa: E731
    shown = _blend([0.04] * 12, source, lambda n: np.full((48, 64, 3), 100 + 3 * (n % 2), np.uint8))
    assert np.abs(np.diff(np.stack(shown[6:]).astype(float), axis=0)).mean() < 0.5


def test_a_change_that_shows_strongly_ends_the_average_sooner() -> None:
    """After a change by 9 levels in the source, less remains of a change by 15 levels in the result than of 5."""
    check = 9 * (np.indices((48, 64)).sum(axis=0) % 2)[..., None]
    source = lambda n: np.broadcast_to(90 + (check if n else 9 - check), (48, 64, 3)).astype(np.uint8)  # noqa: E731

    def left(step: int) -> float:
        shown = _blend([0, 0.04], source, lambda n: np.full((48, 64, 3), 100 + step * n, np.uint8))
        return (100 + step - float(shown[1].mean())) / step

    assert left(15) < 0.6 * left(5)


def test_a_fade_is_followed() -> None:
    """Each step is as small as grain, but all have one direction."""
    source = lambda n: np.full((48, 64, 3), 60 + 4 * n, np.uint8)  # noqa: E731
    shown = _blend([0.04] * 20, source, source)
    assert all(np.abs(picture.astype(int) - source(n)).max() <= 1 for n, picture in enumerate(shown))


def test_what_moves_is_averaged_along_its_motion() -> None:
    """A texture that moves by 3 pixels a frame, with flicker of its own: less of it, at its place, and sharp."""
    wide = cv2.resize(photo(96, 300), (600, 192), interpolation=cv2.INTER_CUBIC)
    source = lambda n: np.ascontiguousarray(wide[:, 3 * n : 3 * n + 400])  # noqa: E731
    flicker = lambda n: 12 * (-1) ** n  # noqa: E731
    result = lambda n: (source(n).astype(int) + flicker(n)).clip(0, 255).astype(np.uint8)  # noqa: E731
    shown = _blend([0.04] * 10, source, result)
    inside = np.s_[20:-20, 20:-40]
    off = [float((picture[inside].astype(int) - source(n)[inside]).mean()) for n, picture in enumerate(shown)]
    assert np.abs(off[5:]).max() < 6
    sharp = [cv2.Laplacian(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), cv2.CV_32F).std() for each in (shown[9], source(9))]
    assert sharp[0] > 0.9 * sharp[1]


def test_sixteen_bits_and_other_sizes() -> None:
    source = lambda n: scene(n).astype(np.uint16) * 257  # noqa: E731
    double = lambda n: np.full((2 * SIZE[1], 2 * SIZE[0], 3), 30000 + 1000 * (n % 2), np.uint16)  # noqa: E731
    shown = _blend([0.04] * 6, source, double)
    assert shown[5].dtype == np.uint16
    assert shown[5].shape == double(5).shape
    assert 100 < int(shown[5][-20:].mean()) - 30000 < 900


def test_a_video_of_ten_bits_and_a_variable_rate(deep_identity: Model, tmp_path: Path) -> None:
    """HDR stays in 10 bits and keeps its times; and the longer a frame is shown, the less is carried past it."""
    rows = np.linspace(200, 800, SIZE[1], dtype=np.uint16)[:, None]

    def planes(number: int) -> list[np.ndarray]:
        grain = np.random.default_rng(number).integers(-6, 7, (SIZE[1], SIZE[0]))
        return [(rows + grain).astype(np.uint16), *(np.full((SIZE[1] // 2, SIZE[0] // 2), 512, np.uint16),) * 2]

    quick, pause = list(range(0, 8 * 512, 512)), 60 * 512
    facts_of = {"codec": "ffv1", "pixel_format": "yuv420p10le", "size": SIZE, "colour": (9, 1, 9, 16), "planes": planes}
    clip = make(tmp_path / "in.mkv", times=[*quick, quick[-1] + pause], **facts_of)
    seen: list[tuple[np.ndarray, np.ndarray, float]] = []
    target = tmp_path / "out.mkv"
    translate_video(deep_identity, clip, target, video=STEADY, observers=[lambda *each: seen.append(each)])
    before, result = facts(clip), facts(target)
    assert (result.times, result.colour, result.pixel_format) == (before.times, before.colour, "yuv420p10le")
    off = [float(np.abs(shown.astype(int) - source).mean()) / 64 for source, shown, _ in seen]
    assert {shown.dtype for _, shown, _ in seen} == {np.dtype(np.uint16)}
    assert off[7] > 1  # of its own grain most is gone
    assert off[8] < 0.3 * off[7]  # after 2.4 s


def test_a_model_without_statistics_is_smoothed_with_a_note(identity: Model, clip: Path) -> None:
    summary = translate_video(identity, clip, None, video=STEADY)
    assert "no statistics are carried from frame to frame (it has no normalisation" in summary.notes[0]
    plain = translate_video(identity, clip, None)
    assert summary.flicker is not None
    assert plain.flicker is not None
    assert summary.flicker < 0.7 * plain.flicker


def test_a_camera_is_steadied_too(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i.runtime.video.source import camera
    from tests.runtime.video.test_live import FakeCamera

    monkeypatch.setattr(camera.cv2, "VideoCapture", FakeCamera)
    assert translate_video(model, "camera:0", None, video=replace(STEADY, end=1)).frames >= 2


@pytest.mark.parametrize("threads", [1, 3])
def test_a_frame_that_fails_ends_the_job(threads: int, tmp_path: Path) -> None:
    """Its error is raised, not those of the frames that wait for it."""
    broken = Model(tiny.not_a_number(tmp_path / "nan.onnx"), "cpu", threads, side_by_side=True)
    black = make(tmp_path / "in.mkv", codec="ffv1", picture=lambda n: np.full((48, 64, 3), 9 * (n != 3), np.uint8))
    with pytest.raises(NonFiniteError):
        results(broken, black)


def test_a_normalisation_that_fails_ends_the_job(model: Model, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    infer = RunningStatistics._infer

    def fail(
        self: RunningStatistics, image: np.ndarray, given: np.ndarray, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        if share == 1:
            time.sleep(0.1)  # until others wait
            raise ModelError("no room")
        return infer(self, image, given, share)

    monkeypatch.setattr(RunningStatistics, "_infer", fail)
    with pytest.raises(ModelError, match="no room"):
        results(model, clip)


def test_awaited_values_are_kept() -> None:
    line = OrderedValues(keep=2)
    for number in range(4):
        line.put(number, -number)
    assert [line.get(2), line.get(3)] == [-2, -3]
    with pytest.raises(KeyError):
        line.get(1)
    line.fail(4)
    assert line.get(3) == -3
    with pytest.raises(FrameFailedError):
        line.get(4)


def test_a_time_without_being_steady_is_refused() -> None:
    with pytest.raises(ValueError, match=r"steady_time is 0\.5, but steady is not set; give both"):
        VideoOptions(steady_time=0.5)
    assert VideoOptions(steady=True, steady_time=0.5).steady_time == 0.5


@pytest.mark.parametrize(("value", "message"), [(0, "more than 0 and at most 10"), ("x", "steady_time is 'x'")])
def test_a_time_that_makes_no_sense(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VideoOptions(steady=True, steady_time=value)  # type: ignore[arg-type]


def test_places_in_time_of_a_variable_rate(levelling: Model) -> None:
    from i2i.runtime.video.frame.item import Item

    def item(time: int) -> Item:
        return Item(av.VideoFrame.from_ndarray(scene(time % 7), "rgb24"), [time])

    steady = Smoother(levelling, 0.25, True, 64)
    places = [each.place for each in steady.places([item(0), Item(), item(50), item(60)], Fraction(1, 100))]
    assert [place and (place.number, place.first) for place in places] == [(0, 0), None, (1, 0), (2, 0)]
    assert [place.step for place in places if place][1:] == [0.5, pytest.approx(0.1)]
