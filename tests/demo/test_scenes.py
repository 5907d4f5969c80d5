"""The drawn world: the same number is always the same place, and every style shows that place."""

import hashlib

import cv2
import numpy as np
import pytest

from i2i.demo.paint import COLOURS, STYLES, paint
from i2i.demo.scenes import PARTS, part_map, scene


def test_a_scene_is_a_function_of_its_number():
    assert scene(7) == scene(7)
    assert len({scene(i).house for i in range(50)}) == 50
    for style in STYLES:
        first, again = (hashlib.sha256(paint(scene(7), style).tobytes()).hexdigest() for _ in range(2))
        assert first == again, style


@pytest.mark.parametrize("size", [16, 64, 96])
def test_every_style_has_the_form_of_an_image(size):
    for style in STYLES:
        picture = paint(scene(3), style, size)
        assert picture.shape == (size, size, 3), style
        assert picture.dtype == np.uint8, style


def test_labels_are_flat_and_the_other_styles_are_shaded():
    counts = {style: len(np.unique(paint(scene(3), style).reshape(-1, 3), axis=0)) for style in STYLES}
    assert counts["labels"] <= len(PARTS)
    assert counts["day"] > 500
    assert counts["night"] > 500


def test_styles_differ_as_their_names_say():
    day, night = paint(scene(5), "day").astype(int), paint(scene(5), "night").astype(int)
    assert day.mean() > 2 * night.mean()
    panes = cv2.erode((part_map(scene(5), 64) == PARTS.index("window")).astype(np.uint8), np.ones((2, 2))) > 0
    red, _, blue = night[panes].mean(axis=0)
    assert red > 150, "the windows are not lit"
    assert red > 1.5 * blue, "the windows are not yellow"


@pytest.mark.parametrize("number", range(8))
def test_all_styles_show_the_same_geometry(number):
    """The outlines of the label map are found in the day and in the night at the same place, and nowhere else."""

    def edges(style):
        grey = cv2.cvtColor(paint(scene(number), style, 128), cv2.COLOR_RGB2GRAY).astype(np.float32)
        return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)).ravel()

    labels = edges("labels")
    other = {style: edges(style) for style in ("day", "night")}
    for style, strength in other.items():
        here = np.corrcoef(labels, strength)[0, 1]
        moved = np.corrcoef(labels, np.roll(strength.reshape(128, 128), 5, axis=1).ravel())[0, 1]
        assert here > 0.35, style
        assert here > moved + 0.15, style


def test_a_larger_picture_is_the_same_picture():
    small, large = paint(scene(2), "day", 64), paint(scene(2), "day", 192)
    shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - shrunk).mean() < 4


def test_the_label_tells_the_parts_apart():
    """No two parts share a colour in the labels, or the paired half would have no single answer."""
    assert set(COLOURS) == set(PARTS)
    assert len({colours[0] for colours in COLOURS.values()}) == len(PARTS)


def test_every_scene_has_a_door_a_window_and_a_light_in_the_sky():
    for number in range(60):
        shown = set(np.unique(part_map(scene(number), 64, panes=False)))
        for part in ("sky", "sun", "grass", "door", "window", "path"):
            assert PARTS.index(part) in shown, f"scene {number} shows no {part}"


def test_impossible_scenes_are_errors():
    with pytest.raises(ValueError, match="labels, day, night"):
        paint(scene(0), "dusk")
    with pytest.raises(ValueError, match="at least 16"):
        paint(scene(0), "day", 8)


def test_the_drawings_of_the_demo_are_those_that_its_models_were_trained_on():
    """Mean colours of the first ten scenes, in red, green and blue."""
    known = {
        "labels": (93.711, 157.607, 142.820),
        "day": (141.029, 170.293, 153.815),
        "night": (51.734, 62.988, 85.933),
    }
    for style, colours in known.items():
        mean = np.mean([paint(scene(number), style) for number in range(10)], axis=(0, 1, 2))
        assert np.allclose(mean, colours, atol=0.002), style
