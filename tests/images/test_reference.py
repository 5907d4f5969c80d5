"""A collection of difficult files, compared with Pillow's reading of each."""

from __future__ import annotations

import csv
import warnings

import numpy as np
import PIL.Image
import PIL.ImageOps

from i2i.images import Image, ImageError, convert, read_header, read_image

REFUSED = {  # Pillow reads these, and we say why we do not
    "corrupt/xcsn0g01.png": "corrupt",
}
SALVAGED = {"bomb/png_decompression_dos.png"}  # a pixel beside 60 MB of text, which is not unfolded


def test_every_file_is_an_image_as_pillow_sees_it_or_a_reasoned_error(reference):
    root = reference("data/hard_images")
    with open(root / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 100
    wrong = []
    for row in rows:
        try:
            image = read_image(root / row["file"])
        except ImageError as error:
            expected = REFUSED.get(row["file"], "" if row["pillow_result"] != "opens" else "must not fail")
            # The manifest says "opens" of a few whose pixels Pillow cannot read either.
            if expected not in error.reason and pillow_reads(root / row["file"]):
                wrong.append(str(error))
            continue
        if row["file"] in SALVAGED:
            continue
        header = read_header(root / row["file"])
        stated = (header.width, header.height, header.channels, header.bits, header.alpha, header.frames)
        found = (image.width, image.height, image.channels, image.bits, image.alpha is not None, image.frames)
        if stated != found:
            wrong.append(f"{row['file']}: header {stated}, image {found}")
        difference = difference_from_pillow(root / row["file"], image)
        if difference > (2 if row["category"] == "cmyk" else 1):
            wrong.append(f"{row['file']}: {difference} levels from Pillow's pixels")
    assert not wrong, "\n".join(wrong)


def pillow_reads(path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with PIL.Image.open(path) as image:
                image.load()
        except (OSError, ValueError, SyntaxError, TypeError, PIL.Image.DecompressionBombError):
            return False
    return True


def difference_from_pillow(path, image: Image) -> int:
    """The largest, in levels of 8 bits, over colour and alpha."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with PIL.Image.open(path) as opened:
            upright = PIL.ImageOps.exif_transpose(opened)
    if upright.mode == "F":
        return 0 if np.array_equal(np.asarray(upright), image.pixels[..., 0]) else 255
    if upright.mode in ("I;16", "I"):
        return int(np.abs(np.asarray(upright).astype(int) - image.pixels[..., 0]).max()) // 257
    expected = np.asarray(upright.convert("RGBA")).astype(int)
    alpha = np.full_like(expected[..., :1], 255) if image.alpha is None else convert(image.alpha[..., None], 1, 8)
    found = np.dstack([convert(image.pixels, 3, 8), alpha])
    return 255 if found.shape != expected.shape else int(np.abs(found - expected).max())
