"""Translate an image file that does not fit into memory: read strips, run tiles, write strips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from i2i.images import Image, ImageError, losses
from i2i.images.alpha import CELL, MARGIN, Grid
from i2i.images.large.reader import StripReader
from i2i.images.large.writer import write_strips
from i2i.images.metadata import read_metadata
from i2i.lost import Lost
from i2i.runtime import processing
from i2i.runtime.jobs import image_file
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.planning import ImageTask
from i2i.runtime.model.model import Model
from i2i.runtime.tiles.tiler import Tiling, strips
from i2i.spec import EDGE, Background, Spec

_PASS = 8 * CELL  # rows that are read at once


@dataclass(frozen=True)
class StripTranslation:
    """An image to translate strip by strip."""

    task: ImageTask
    reader: StripReader
    model: Model
    tiling: Tiling

    def run(self, options: Options) -> Lost:
        """Write the result completely or not at all; return what it lacks of the source.

        Its pixels equal those of the image decoded whole and translated in the same tiles. Over a grey ``background``
        half-transparent pixels may differ, since each strip is un-mixed by itself.

        Raises ModelError, ImageError, or StoppedError where no file can be written.
        """
        header, form, output = self.reader.header, self.task.format, self.task.target
        metadata, beyond = None, set[str]()
        if options.keep_metadata:
            with open(self.reader.path, "rb") as file:
                metadata = read_metadata(file, header.format)
        try:
            channels = write_strips(
                output,
                self._strips(header.alpha, options.background, beyond),
                form,
                options.quality,
                keep_grey=header.channels == 1,
                icc=header.icc,
                resolution=header.resolution,
                metadata=metadata,
                coding=header.coding,
            )
        except ImageError as error:
            image_file.stop_if_full(error.__cause__, output)
            raise
        # One pixel stands for them all: an alpha is taken for one that shows.
        pixel = np.zeros((1, 1, header.channels + 1), np.uint16 if header.bits == 16 else np.uint8)
        alpha = pixel[..., -1] if header.alpha else None
        lost = header.lost + image_file.bits_lost(header, self.model.spec) + tuple(beyond)
        if header.icc is not None and channels != header.channels:
            lost += ("colour profile",)
        source = Image(
            pixel[..., :-1], alpha, header.icc, frames=header.frames, metadata=metadata, resolution=header.resolution,
            lost=lost,
        )  # fmt: skip
        return Lost.of(losses(source, form), form)

    def _strips(self, alpha: bool, background: Background | None, beyond: set[str]) -> Iterator[Image]:
        """Yield the translated strips, and add to ``beyond`` what is clipped of the source."""
        model = self.model
        background = model.spec.background if background is None else background
        extended = alpha and background == EDGE and model.spec.source.channels != 4
        picture = _Picture(self.reader, model.spec, background, _grid(self.reader) if extended else None, beyond)
        top = 0
        for strip in strips(model.executor, picture, model.target, self.tiling, model.tile.progress):
            yield processing.restore(strip, picture.image(top, top + len(strip)), model.spec, background)
            top += len(strip)


def _grid(reader: StripReader) -> Grid:
    """Read the file once for the colours that continue into its transparent pixels."""
    return Grid(reader.read(slice(top, top + _PASS)) for top in range(0, reader.header.height, _PASS))


class _Picture:
    """Rows of the file as the graph takes them; the rows read last are kept."""

    def __init__(
        self, reader: StripReader, spec: Spec, background: Background, grid: Grid | None, beyond: set[str]
    ) -> None:
        self._reader, self._spec, self._background, self._grid, self._beyond = reader, spec, background, grid, beyond
        self.height, self.width = reader.header.height, reader.header.width
        self._rows = slice(0, 0)
        self._image: Image | None = None
        self._array = np.empty(0)

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        if rows != self._rows:
            if self._grid is None:
                self._image = opaque = self._reader.read(rows)
            else:
                self._image, opaque = self._extended(rows, self._grid)
            self._beyond.update(processing.beyond_range(opaque, self._spec))
            self._rows, self._array = rows, processing.prepare(opaque, self._spec, self._background)
        return self._array[:, columns]

    def _extended(self, rows: slice, grid: Grid) -> tuple[Image, Image]:
        """Return the rows, and without alpha the same as ``images.extend`` makes them for the whole file.

        They are read once together with those around them: a reader that goes back starts at the top of the file.
        """
        start = max(0, rows.start // CELL * CELL - MARGIN)
        around = self._reader.read(slice(start, -(-rows.stop // CELL) * CELL + MARGIN))
        kept = slice(rows.start - start, rows.stop - start)
        return _cut(around, kept), Image(grid.extend(around, start)[kept])

    def image(self, top: int, bottom: int) -> Image:
        """Return rows of the file, among those read last."""
        assert self._image is not None
        return _cut(self._image, slice(top - self._rows.start, bottom - self._rows.start))


def _cut(image: Image, rows: slice) -> Image:
    alpha = None if image.alpha is None else image.alpha[rows]
    return Image(image.pixels[rows], alpha, image.icc, image.format, image.frames)
