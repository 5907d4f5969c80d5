"""Translate an image file that does not fit into memory: read strips, run tiles, write strips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from i2i.images import Image, ImageError
from i2i.images.large.reader import StripReader
from i2i.images.large.writer import write_strips
from i2i.images.metadata import read_metadata
from i2i.runtime import processing
from i2i.runtime.jobs import image_file
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.planning import ImageTask
from i2i.runtime.model.model import Model
from i2i.runtime.tiles.tiler import Tiling, strips


@dataclass(frozen=True)
class StripTranslation:
    """An image to translate strip by strip."""

    task: ImageTask
    reader: StripReader
    model: Model
    tiling: Tiling

    def run(self, options: Options) -> str:
        """Write the result completely or not at all; return what of the metadata it lacks, in words, or "".

        Its pixels equal those of the image decoded whole and translated in the same tiles.

        Raises ModelError, ImageError, or StoppedError where no file can be written.
        """
        header, form, output = self.reader.header, self.task.format, self.task.target
        metadata = None
        if options.keep_metadata:
            with open(self.reader.path, "rb") as file:
                metadata = read_metadata(file, header.format)
        try:
            write_strips(
                output,
                self._strips(options.background),
                form,
                options.quality,
                keep_grey=header.channels == 1,
                icc=header.icc,
                resolution=header.resolution,
                metadata=metadata,
            )
        except ImageError as error:
            image_file.stop_if_full(error.__cause__, output)
            raise
        return image_file.lacking(metadata, form)

    def _strips(self, background: int) -> Iterator[Image]:
        model = self.model
        picture = _Picture(self.reader, model, background)
        top = 0
        for strip in strips(model.graph, picture, model.target, self.tiling, model.tile.progress):
            yield processing.restore(strip, picture.image(top, top + len(strip)), model.spec)
            top += len(strip)


class _Picture:
    """Rows of the file as the graph takes them; the rows read last are kept."""

    def __init__(self, reader: StripReader, model: Model, background: int) -> None:
        self._reader, self._spec, self._background = reader, model.spec, background
        self.height, self.width = reader.header.height, reader.header.width
        self._rows = slice(0, 0)
        self._image: Image | None = None
        self._array = np.empty(0)

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        if rows != self._rows:
            self._image, self._rows = self._reader.read(rows), rows
            self._array = processing.prepare(self._image, self._spec, self._background)
        return self._array[:, columns]

    def image(self, top: int, bottom: int) -> Image:
        """Return rows of the file, among those read last."""
        assert self._image is not None
        rows, image = slice(top - self._rows.start, bottom - self._rows.start), self._image
        alpha = None if image.alpha is None else image.alpha[rows]
        return Image(image.pixels[rows], alpha, image.icc, image.format, image.frames)
