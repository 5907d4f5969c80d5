"""Scene cuts: each is found; fades, fast motion and grain are not taken for cuts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from i2i.runtime.video.frame.colour import thumbnail
from i2i.runtime.video.temporal.scene_cuts import HEIGHT, WIDTH, FadeIn, SceneCuts

CLIPS = {  # the frames at which they have cuts, as one sees
    "bikes.mp4": [30, 76, 137, 187, 242],
    "cockatoo.mp4": [],
    "carphone_pristine.mp4": [],
    "realshort.mp4": [],
    "flipping_a_pancake.mkv": [],
}
Shot = Callable[[int], np.ndarray]


def world(seed: int) -> np.ndarray:
    """Blobs and edges, wider than a picture: uint8 [180, 900, 3]."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 256, (9, 45, 3)).astype(np.uint8), (900, 180), interpolation=cv2.INTER_CUBIC)
    for _ in range(30):
        x, y, side = rng.integers(0, 850), rng.integers(0, 150), rng.integers(10, 60)
        coarse[y : y + side, x : x + side] = rng.integers(0, 256, 3)
    return coarse


def shot(seed: int, speed: float = 0, grain: float = 0) -> Shot:
    """A window of 320 x 180 on it that moves by ``speed`` pixels a frame."""
    wide = world(seed)

    def picture(number: int) -> np.ndarray:
        left = round(speed * number) % 580
        noise = np.random.default_rng(number).normal(0, grain, (180, 320, 3))
        return (wide[:, left : left + 320] + noise).clip(0, 255).astype(np.uint8)

    return picture


def small(picture: np.ndarray) -> np.ndarray:
    return thumbnail(av.VideoFrame.from_ndarray(picture, "rgb24"), WIDTH, HEIGHT)


def found(pictures: list[np.ndarray]) -> list[int]:
    cuts = SceneCuts()
    return [n for n, each in enumerate(pictures) if cuts.begins(small(each))]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("speed", [0, 6])
def test_a_cut_is_found(seed: int, speed: float) -> None:
    first, second, third = (shot(3 * seed + n, speed, grain=4) for n in range(3))
    pictures = [first(n) for n in range(9)] + [second(n) for n in range(7)] + [third(n) for n in range(5)]
    assert found(pictures) == [0, 9, 16]


def test_a_fade_is_no_cut() -> None:
    """To black within half a second and up again to the same scene, and a flash of light."""
    still = shot(1, grain=3)
    down = [still(n) * (1 - n / 12) for n in range(13)]
    clip = [still(n) for n in range(5)] + down + down[::-1]
    clip += [np.minimum(255, still(1) * 1.0 + 70), still(2)]
    assert found([each.astype(np.uint8) for each in clip]) == [0]


def test_a_dissolve_is_no_cut() -> None:
    first, second = shot(1), shot(2)
    mixed = [first(0) * (1 - n / 25) + second(0) * (n / 25) for n in range(26)]
    assert found([each.astype(np.uint8) for each in mixed]) == [0]


@pytest.mark.parametrize("speed", [8, 16, 24])
def test_fast_motion_is_no_cut(speed: float) -> None:
    """24 pixels of 320 a frame: from edge to edge in half a second."""
    assert found([shot(4, speed)(n) for n in range(23)]) == [0]


def test_a_camera_that_is_shaken_is_not_cut_at_each_frame() -> None:
    """By a third of the picture, to and fro, so that no two frames are alike: what is usual is no cut."""
    shaken = shot(4, 110)
    assert len(found([shaken(n % 4) for n in range(20)])) <= 3


def test_an_object_that_crosses_the_picture_is_no_cut() -> None:
    still = shot(5)

    def crossed(number: int) -> np.ndarray:
        picture = still(0).copy()
        picture[30:150, max(0, 30 * number - 100) : 30 * number] = (250, 240, 10)
        return picture

    assert found([crossed(n) for n in range(14)]) == [0]


def test_grain_and_darkness_are_no_cuts() -> None:
    grain = lambda n: np.random.default_rng(n).integers(0, 30, (180, 320, 3)).astype(np.uint8)  # noqa: E731
    assert found([grain(n) for n in range(10)]) == [0]
    assert found([np.full((180, 320, 3), n % 2, np.uint8) for n in range(10)]) == [0]


def test_a_blank_picture_is_a_scene_of_its_own() -> None:
    black = np.zeros((180, 320, 3), np.uint8)
    assert found([shot(1)(0)] * 3 + [black] * 3 + [shot(2)(0)] * 3) == [0, 3, 6]


@pytest.mark.parametrize("form", ["yuv420p", "yuv420p10le", "gray", "bgr24", "gbrp", "yuv444p"])
def test_any_format_of_pixels(form: str) -> None:
    cuts = SceneCuts()
    frames = [av.VideoFrame.from_ndarray(shot(seed)(0), "rgb24").reformat(format=form) for seed in (1, 1, 2, 2)]
    assert [cuts.begins(thumbnail(frame, WIDTH, HEIGHT)) for frame in frames] == [True, False, True, False]


def test_third_party_clips(reference: Callable[[str], Path]) -> None:
    """One after the other, of which the first is edited and has scenes of fast motion."""
    cuts, marks, expected, number = SceneCuts(), [], [], 0
    for name, own in CLIPS.items():
        expected += [number + at for at in (0, *own)]
        with av.open(str(reference(f"data/video/{name}"))) as container:
            container.streams.video[0].thread_type = "AUTO"
            for at, frame in enumerate(container.decode(video=0)):
                if at >= 60 and not own:
                    break
                if cuts.begins(thumbnail(frame, WIDTH, HEIGHT)):
                    marks.append(number)
                number += 1
    assert marks == expected


def risen(strengths: list[float], every: float = 0.04) -> list[int]:
    """The numbers of the frames, each that share of a picture, on which its contrast has become another."""
    fade, picture = FadeIn(), shot(1)(0)
    shown = [np.rint(strength * picture).astype(np.uint8) for strength in strengths]
    return [n for n, each in enumerate(shown) if fade.rises(small(each), every * n)]


def test_fade_ins_are_found() -> None:
    """Each frame that has more contrast by a twentieth than when that was last so; and none before or after."""
    assert risen([0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1]) == [2, 3, 4, 5, 6]
    assert risen([0, 0.8, 0.82, 0.9, 0.8, 0.4, 0.8]) == [1, 3]
    assert risen([0, 0.5, *[0.5] * 13, 0.8, 1]) == [1]  # half a second later it is what the scene does
    assert risen([0.2, 0.4, 0.6, 0.8, 1]) == []
    assert risen([1, 0, 0, 1]) == [3]


def test_sizes_are_those_that_are_compared() -> None:
    cuts = SceneCuts()
    assert cuts.begins(np.zeros((HEIGHT, WIDTH), np.uint8))
    assert not cuts.begins(np.zeros((HEIGHT, WIDTH), np.uint8))
