"""Houses with captions: the words, the parameters and the pixels agree."""

import re
from dataclasses import replace
from itertools import combinations

import cv2
import numpy as np
import pytest

from i2i.demo.captions import Look, caption, landscape, looks, scenery, stated
from i2i.demo.scenes import PARTS, part_map

LOOKS = [*looks(held_out=False), *looks(held_out=True)]
HOUSE = Look("red", "white", "two-trees", night=False, clouds=True)


def _colour(look, seed, *parts):
    """Return the median colour that the picture shows where these parts are, without their borders."""
    shown = np.isin(part_map(scenery(look, seed), 64), [PARTS.index(part) for part in parts])
    inside = cv2.erode(shown.astype(np.uint8), np.ones((3, 3))) > 0
    assert inside.sum() > 20
    return np.median(landscape(look, seed)[inside], axis=0)


def _changed(look, other, seed):
    """Return a mask of the pixels that differ visibly."""
    return np.abs(landscape(look, seed).astype(int) - landscape(other, seed)).max(axis=2) > 8


def _read(text):
    """Read a caption without the table that wrote it."""
    found = {f"{colour}-roof": True for colour in re.findall(r"(\w+)[- ]roof", text)}
    found |= {f"{walls}-walls": True for walls in re.findall(r"(brick|white|yellow|wooden) (?:house|walls)", text)}
    if re.search(r"\b(without|no)\b[a-z ]* trees", text):
        found["no-trees"] = True
    elif plants := re.findall(r"\b(a|one|single|two|pair of) (fir|tree)", text):
        ((number, kind),) = plants
        found[("two-" if number in ("two", "pair of") else "one-") + kind + "s" * (number in ("two", "pair of"))] = True
    if re.search("night|dark|moon", text):
        found["night"] = True
    if re.search(r"\bday", text):
        found["night"] = False
    if "cloud" in text or "clear" in text:
        found["clouds"] = not re.search("clear|cloudless|without a cloud", text)
    return found


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: "-".join(map(str, vars(look).values())))
def test_every_caption_states_the_truth(look):
    for seed in range(12):
        text = caption(look, seed)
        read = _read(text)
        assert read.items() <= look.attributes.items(), text
        assert {f"{look.roof}-roof", "night"} <= read.keys(), text
        assert stated(text) == read, text


def test_captions_vary_in_wording_and_mostly_state_everything():
    texts = [caption(HOUSE, seed) for seed in range(300)]
    assert len(set(texts)) > 200
    for name, least in {"white-walls": 0.5, "two-trees": 0.75, "clouds": 0.4}.items():
        share = np.mean([name in _read(text) for text in texts])
        assert least < share < 1, name


def test_other_words_than_the_templates_are_understood_or_ignored():
    assert stated("a house with a red roof and two trees at night") == {
        "red-roof": True, "two-trees": True, "night": True,
    }  # fmt: skip
    assert stated("Two Trees beside a Red-Roofed castle") == {"red-roof": True, "two-trees": True}
    assert stated("a submarine") == {}


@pytest.mark.parametrize("night", [False, True])
def test_the_picture_has_the_roof_of_its_name(night):
    for seed in range(10):
        for roof in ("red", "blue", "grey", "brown"):
            r, g, b = _colour(replace(HOUSE, roof=roof, night=night), seed, "tiles")
            seen = (
                "red" if r > 2.4 * max(g, b)
                else "blue" if b > 1.4 * max(r, g)
                else "grey" if max(r, g, b) < 1.3 * min(r, g, b)
                else "brown" if r > 1.2 * g > 1.2 * b
                else (r, g, b)
            )  # fmt: skip
            assert seen == roof, seed


@pytest.mark.parametrize("night", [False, True])
def test_the_picture_has_the_walls_of_its_name(night):
    for seed in range(10):
        for walls in ("brick", "white", "yellow", "wooden"):
            r, g, b = _colour(replace(HOUSE, walls=walls, night=night), seed, "brick", "plaster", "timber")
            seen = (
                "brick" if r > 1.5 * g
                else "white" if max(r, g, b) < 1.3 * min(r, g, b)
                else "yellow" if r < 1.3 * g and g > 1.4 * b
                else "wooden" if r > 1.25 * g > 1.25 * b
                else (r, g, b)
            )  # fmt: skip
            assert seen == walls, seed


def test_the_night_is_dark_and_its_windows_are_lit():
    for seed in range(10):
        day, night = (landscape(replace(HOUSE, night=night), seed).mean() for night in (False, True))
        assert night < 0.6 * day
        assert night < 90 < day
        r, _, b = _colour(replace(HOUSE, night=True), seed, "window", "frame")
        assert r > 1.4 * b
        r, _, b = _colour(HOUSE, seed, "window", "frame")
        assert b > 0.9 * r


@pytest.mark.parametrize("night", [False, True])
@pytest.mark.parametrize(("trees", "number"), [("one-tree", 1), ("two-trees", 2), ("one-fir", 1), ("two-firs", 2)])
def test_the_picture_shows_as_many_trees_as_its_name_says(trees, number, night):
    for seed in range(10):
        look = replace(HOUSE, trees=trees, night=night)
        changed = _changed(look, replace(look, trees="no-trees"), seed).astype(np.uint8)
        *_, sizes, _ = cv2.connectedComponentsWithStats(cv2.dilate(changed, np.ones((3, 3))))
        assert (sizes[1:, cv2.CC_STAT_AREA] > 60).sum() == number, seed


def test_a_fir_is_pointed_and_a_tree_is_round():
    for seed in range(10):
        tops = {}
        for trees in ("one-tree", "one-fir"):
            look = replace(HOUSE, trees=trees)
            rows = _changed(look, replace(look, trees="no-trees"), seed).sum(axis=1)
            first = int(np.argmax(rows > 0))
            tops[trees] = rows[first : first + 6].mean()
        assert tops["one-fir"] < 0.75 * tops["one-tree"], seed


def test_clouds_change_the_sky_alone():
    for seed in range(10):
        changed = _changed(HOUSE, replace(HOUSE, clouds=False), seed)
        assert changed.sum() > 25
        assert not changed[28:].any()


def test_held_out_combinations_are_new_but_their_pairs_are_not():
    seen, new = looks(held_out=False), looks(held_out=True)
    assert (len(seen), len(new)) == (280, 40)
    assert not set(seen) & set(new)
    pairs = [{pair for look in some for pair in combinations(vars(look).items(), 2)} for some in (seen, new)]
    assert pairs[1] <= pairs[0]
    for parameter in vars(HOUSE):
        counts = {value: 0 for value in (getattr(look, parameter) for look in LOOKS)}
        for look in new:
            counts[getattr(look, parameter)] += 1
        assert set(counts.values()) == {40 // len(counts)}, parameter
