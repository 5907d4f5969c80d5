"""Drawn faces: each attribute shows, and shows nowhere else."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from i2i.demo.faces import HAIR, SKIN, Face, random_face
from i2i.demo.portraits import paint_face

SEEDS = range(12)


def _face(seed, **attributes):
    plain = Face(smiling=False, woman=True, glasses=False, beard=False, hair="dark", skin="light", seed=seed)
    return replace(plain, **attributes)


def _changed(one, other, size=64):
    """Return a mask of the pixels that differ, and its top, bottom, left and right as shares of the side."""
    mask = (paint_face(one, size) != paint_face(other, size)).any(axis=2)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask, np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]) / size


def _sag(face):
    """Return by how much the middle of the mouth is lower than its corners, as a share of the image's side.

    A parabola is fitted to the heights of what differs from the skin beside the mouth.
    """
    size = 192
    mask, box = _changed(replace(face, smiling=True), replace(face, smiling=False), size)
    top, bottom, left, right = np.round(box * size).astype(int)
    mouth = paint_face(face, size)[top:bottom, left:right].astype(float)
    skin = np.median(mouth[[0, -1]].reshape(-1, 3), axis=0)
    weight = np.abs(mouth - skin).sum(axis=2) * mask[top:bottom, left:right]
    weight[weight < 60] = 0
    columns = np.flatnonzero(weight.sum(axis=0) > 0)
    heights = (np.arange(bottom - top)[:, None] * weight).sum(axis=0)[columns] / weight.sum(axis=0)[columns]
    along = (columns - columns.mean()) / (np.ptp(columns) / 2)
    return -np.polyfit(along, heights, 2)[0] / size


@pytest.mark.parametrize("woman", [True, False])
@pytest.mark.parametrize("skin", SKIN)
def test_a_smile_is_curved_and_a_calm_mouth_is_straight(woman, skin):
    for seed in SEEDS:
        assert _sag(_face(seed, smiling=True, woman=woman, skin=skin)) > 0.02, seed
        assert abs(_sag(_face(seed, smiling=False, woman=woman, skin=skin))) < 0.01, seed


@pytest.mark.parametrize("woman", [True, False])
def test_a_smile_changes_the_mouth_alone(woman):
    for seed in SEEDS:
        calm = _face(seed, woman=woman)
        mask, (top, bottom, left, right) = _changed(calm, replace(calm, smiling=True))
        assert mask.mean() < 0.07
        assert (bottom - top < 0.23, right - left < 0.35) == (True, True)
        _, (_, eyes, *_) = _changed(calm, replace(calm, glasses=True))
        assert top > eyes, "the smile reaches the glasses"


@pytest.mark.parametrize("woman", [True, False])
def test_glasses_change_a_band_across_the_eyes_alone(woman):
    for seed in SEEDS:
        plain = _face(seed, woman=woman)
        mask, (top, bottom, left, right) = _changed(plain, replace(plain, glasses=True))
        assert 0.03 < mask.mean() < 0.2
        assert bottom - top < 0.28
        assert right - left > 0.35


def test_a_beard_changes_the_lower_face_alone():
    for seed in SEEDS:
        shaved = _face(seed, woman=False)
        mask, (top, *_) = _changed(shaved, replace(shaved, beard=True))
        assert 0.02 < mask.mean() < 0.2
        assert top > 0.45


def test_the_colour_of_hair_and_skin_changes_what_it_names():
    """Where hair changes its colour, skin does not, but for eyebrows and the mixed pixels between them."""
    for seed in SEEDS:
        face = _face(seed)
        hair, _ = _changed(face, replace(face, hair="blond"))
        skin, _ = _changed(face, replace(face, skin="dark"))
        assert hair.mean() > 0.05
        assert skin.mean() > 0.1
        inner = [cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0 for mask in (hair, skin)]
        assert (inner[0] & inner[1]).mean() < 0.02, seed
        background = ~(hair | skin)
        assert background.mean() > 0.2


@pytest.mark.parametrize(
    ("hair", "test"),
    [
        ("dark", lambda r, g, b: max(r, g, b) < 80),
        ("blond", lambda r, g, b: r > 150 and g > 1.5 * b),
        ("red", lambda r, g, b: r > 1.8 * g),
        ("grey", lambda r, g, b: max(r, g, b) - min(r, g, b) < 30 and r > 110),
    ],
)
def test_hair_has_the_colour_of_its_name(hair, test):
    other = "blond" if hair == "dark" else "dark"
    for seed in SEEDS:
        for woman in (True, False):
            face = _face(seed, woman=woman, hair=hair)
            mask, _ = _changed(face, replace(face, hair=other))
            assert test(*np.median(paint_face(face)[mask], axis=0)), seed


def test_men_and_women_differ_in_their_hair():
    """A woman's hair is longer or in a bun above the head: it reaches beyond a man's of the same seed."""
    for seed in SEEDS:
        boxes = []
        for woman in (True, False):
            face = _face(seed, woman=woman)
            boxes.append(_changed(face, replace(face, hair="blond"))[1])
        (top, bottom, *_), (short_top, short_bottom, *_) = boxes
        assert bottom > short_bottom + 0.1 or top < short_top - 0.05, seed


def test_a_face_is_a_function_of_its_attributes_and_seed():
    face = random_face(5, smiling=True, woman=False)
    assert face == random_face(5, smiling=True, woman=False)
    assert np.array_equal(paint_face(face), paint_face(face))
    assert len({paint_face(_face(seed)).tobytes() for seed in range(30)}) == 30


def test_random_faces_have_every_attribute_and_its_absence():
    faces = [random_face(seed, smiling=False, woman=seed % 2 == 0) for seed in range(300)]
    for name in faces[0].attributes.keys() - {"smiling"}:
        share = np.mean([face.attributes[name] for face in faces])
        assert 0.1 < share < 0.6, name
    assert not any(face.beard and face.woman for face in faces)
    for names in (HAIR, SKIN):
        suffix = "-hair" if names is HAIR else "-skin"
        assert all(sum(face.attributes[name + suffix] for name in names) == 1 for face in faces)


def test_groups_are_named_by_the_attributes():
    assert random_face(0, smiling=True, woman=True).group == "smiling-woman"
    assert random_face(0, smiling=False, woman=False).group == "calm-man"


def test_a_larger_picture_is_the_same_picture():
    for seed in range(4):
        small, large = (paint_face(_face(seed, smiling=True, glasses=True), size) for size in (64, 192))
        shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(small.astype(int) - shrunk).mean() < 4
    with pytest.raises(ValueError, match="at least 16"):
        paint_face(_face(0), 8)
