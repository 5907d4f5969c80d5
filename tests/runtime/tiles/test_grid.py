"""Positions of tiles."""

from __future__ import annotations

import numpy as np
import pytest

from i2i.runtime.tiles.grid import BLEND, STEP, cut


@pytest.mark.parametrize("length", [1, 300, 767, 768, 769, 1000, 1057, 4096, 16384])
@pytest.mark.parametrize(("side", "halo"), [(768, 32), (256, 96), (192, 32)])
def test_tiles_cover_everything_once(length: int, side: int, halo: int) -> None:
    spans = cut(length, side, halo)
    counted, weighted = np.zeros(length), np.zeros(length)
    for span in spans:
        counted[span.core] += 1
        weighted[span.kept] += span.ramp()
        assert span.seen.start % STEP == 0
        assert span.seen.stop - span.seen.start <= side + 2 * STEP
        assert span.core.start == span.seen.start + halo or span.seen.start == 0
        assert span.core.stop in (length, span.seen.stop - halo) or span.seen.stop == length
    assert (counted == 1).all()
    np.testing.assert_allclose(weighted, 1, atol=1e-6)
    assert (len(spans) == 1) == (length <= side)


def test_neighbours_are_blended() -> None:
    first, second = cut(400, 256, 32)[:2]
    edge = first.core.stop
    assert (first.kept.stop, second.kept.start) == (edge + BLEND, edge - BLEND)
    np.testing.assert_allclose(first.ramp()[-2 * BLEND :], 1 - second.ramp()[: 2 * BLEND], atol=1e-6)
    assert (np.diff(second.ramp()[: 2 * BLEND]) > 0).all()
