"""Files that are no image, or no complete image, raise an ImageError that names the file, and take no memory."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache

import numpy as np
import PIL.Image
import pytest

from i2i.images import Image, ImageError, decode_image, encode_image, read_header, read_image
from i2i.images.formats import png as png_format
from tests.images.samples import alpha_of, picture, pillow_bytes

FORMATS = ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "ICO"]


def whole(format: str) -> bytes:
    return pillow_bytes(picture(), format)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (bytes(range(1, 101)), "not an image of a known format"),
        (whole("JPEG")[:100], "damaged"),
        (whole("PNG")[:100], "damaged"),
        (b"8BPS" + bytes(60), "Photoshop"),
        (b"\0\0\0\x1cftypavif" + bytes(60), "damaged AVIF"),
        (b"\0\0\0\x1cftypheic" + bytes(60), "damaged HEIC"),
        (b"\0\0\0\x1cftypisom" + bytes(60), "a video"),
        (b"qoif" + bytes(3), "damaged QOI"),
    ],
)
def test_files_that_are_no_images_are_errors_with_a_reason(tmp_path, content, reason):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.path == path


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_truncated_files_are_errors(format, share):
    data = whole(format)
    with pytest.raises(ImageError, match="truncated" if format in ("JPEG", "PNG") else "damaged"):
        decode_image(data[: int(len(data) * share)])


@pytest.mark.parametrize("format", [*FORMATS, "PNG16", "PNG8", "RGBA TIFF"])
def test_200_damaged_files_give_an_image_or_an_error(format):
    """Only ImageError is raised, and no memory is allocated for damaged sizes."""
    special = {
        "PNG16": lambda: encode_image(Image(picture(bits=16), alpha_of(bits=16)), "PNG"),
        "PNG8": lambda: pillow_bytes(picture(), "PNG", "P"),
        "RGBA TIFF": lambda: pillow_bytes(np.dstack([picture(), alpha_of()]), "TIFF"),
    }
    good = special[format]() if format in special else whole(format)
    decode_image(good)
    rng, bad = np.random.default_rng(7), 0
    for number in range(200):
        data = bytearray(good)
        for _ in range(1 + number % 3):
            data[rng.integers(len(data) if number % 2 else min(200, len(data)))] ^= 1 << rng.integers(8)
        try:
            image = decode_image(bytes(data), max_pixels=1_000_000)
        except ImageError:
            bad += 1
        else:
            assert image.pixels.dtype in (np.uint8, np.uint16)
            assert image.pixels.ndim == 3
    assert bad > 0


def peak_memory() -> float:
    """Return the peak memory of this process in bytes, including OpenCV's allocations."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int = 1, data: bytes = b"", *before: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@cache
def bombs() -> dict[str, bytes]:
    side = 20_000
    stream = zlib.compress((b"\0" + bytes(side // 8)) * side, 9)
    jpeg = whole("JPEG")
    at = jpeg.index(b"\xff\xc0")
    jpeg = jpeg[: at + 5] + struct.pack(">HH", 65000, 65000) + jpeg[at + 9 :]
    return {
        "png": png(side, side, data=stream),
        "endless.png": png(2**31 - 1, 2**31 - 1),
        "jpg": jpeg,
        "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
        + b"\x02\x02\x4c\x01\0\x3b",
        "frame.gif": b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0, 0, 0) + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\0\x3b",
        "bmp": b"BM" + bytes(8) + struct.pack("<I", 54) + struct.pack("<IiiHHI20x", 40, 90000, -90000, 1, 24, 0),
        "ico": b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, 100, 22) + png(50_000, 50_000),
        "webp": b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff" * 6,
        "ppm": b"P6 60000 60000 255\n",
        "tif": b"II*\0\x08\0\0\0" + struct.pack("<H", 2) + struct.pack("<HHIIHHII", 256, 4, 1, 99999, 257, 4, 1, 99999)
        + bytes(4),
    }  # fmt: skip


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_is_refused_from_its_header(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(bombs()[name])
    before, start = peak_memory(), time.process_time()
    with pytest.raises(ImageError, match=r"more than the limit of (100,000,000|178,956,970)"):
        read_image(path)
    assert time.process_time() - start < 1  # to decode it takes seconds
    assert peak_memory() - before < 50e6
    with pytest.raises(ImageError, match="limit"):
        read_header(path)


def test_the_limit_can_be_moved():
    data = pillow_bytes(picture(), "PNG")
    with pytest.raises(ImageError, match="3,072 pixels, more than the limit of 3,071"):
        decode_image(data, max_pixels=48 * 64 - 1)
    assert decode_image(data, max_pixels=48 * 64).width == 64


def test_text_and_profile_bombs_in_a_png_are_not_unfolded():
    bomb = zlib.compress(bytes(200_000_000), 9)
    body = zlib.compress(b"\0\x80")
    data = png(1, 1, 1, body, chunk(b"iCCP", b"icc\0\0" + bomb), chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb))
    before = peak_memory()
    with suppress(ImageError):  # the decoder may refuse it too
        decode_image(data)
    assert peak_memory() - before < 60e6


@pytest.mark.parametrize("damaged", [False, True])
def test_texts_of_a_png_unfold_to_16_mib_at_most_together(monkeypatch, damaged):
    unfolded, begin = [], zlib.decompressobj

    class Counted:
        def __init__(self):
            self._stream = begin()

        def decompress(self, data, most):
            unfolded.append(1 << 20)
            return self._stream.decompress(data, most)

        def __getattr__(self, name):
            return getattr(self._stream, name)

    stream = zlib.compress(bytes(1 << 20), 9)
    if damaged:  # at its end, which is found after the rest has been unfolded
        stream = stream[:-1] + bytes([stream[-1] ^ 1])
    texts = [chunk(b"zTXt", b"Raw profile type exif\0\0" + stream)] * 50
    data = io.BytesIO(png(1, 1, 1, zlib.compress(b"\0\x80"), *texts))
    monkeypatch.setattr(zlib, "decompressobj", Counted)
    for read in (png_format.header, png_format.metadata):
        unfolded.clear()
        read(data)
        assert 15 << 20 <= sum(unfolded) <= 16 << 20


def test_a_chunk_that_claims_gigabytes_is_refused_before_they_are_asked_for():
    good = whole("PNG")
    at = good.index(b"IDAT") - 4
    before = peak_memory()
    with pytest.raises(ImageError, match="claims more than there is"):
        decode_image(good[:at] + struct.pack(">I", 2_000_000_000) + good[at + 4 :])
    assert peak_memory() - before < 50e6


def test_a_damaged_size_is_refused_before_its_memory_is_asked_for():
    good = bytearray(whole("PNG"))
    good[17] ^= 16  # the width becomes 64 + 2 ** 20, and the image 50 megapixels
    before = peak_memory()
    with pytest.raises(ImageError, match="checksum of the IHDR"):
        decode_image(bytes(good))
    assert peak_memory() - before < 50e6


@pytest.mark.parametrize("format", ["BMP", "TIFF"])
def test_a_row_too_wide_for_opencv_is_an_error_of_its_file(format):
    data = pillow_bytes(np.zeros((1, 1_100_000), np.uint8), format)
    with pytest.raises(ImageError, match=rf"wide: damaged {format} data: .*IMAGE_WIDTH"):
        decode_image(data, "wide")


def test_a_jpeg_without_its_last_two_bytes_is_truncated():
    with pytest.raises(ImageError, match="no end-of-image marker"):
        decode_image(whole("JPEG")[:-2])


def test_a_missing_file_a_folder_and_a_pipe_are_errors(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path, reason in (("none.png", "No such file"), (".", "not a regular file"), ("pipe.png", "not a regular file")):
        for read in (read_image, read_header):
            with pytest.raises(ImageError, match=reason):
                read(tmp_path / path)


def test_an_unreadable_file_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    path.write_bytes(whole("PNG"))
    real = open

    def refuse(file, *arguments, **keywords):
        if file == path:
            raise PermissionError(13, "Permission denied", str(path))
        return real(file, *arguments, **keywords)

    monkeypatch.setattr("builtins.open", refuse)  # the superuser may read anything
    with pytest.raises(ImageError, match=r"secret\.png: Permission denied"):
        read_image(path)


def test_pillow_warnings_and_corrupt_exif_do_not_matter():
    """Warnings are errors in these tests; an invalid EXIF block counts as orientation 1."""
    data = pillow_bytes(picture(), "JPEG")
    nonsense = b"Exif\0\0II*\0" + b"\xff" * 20
    segment = b"\xff\xe1" + struct.pack(">H", len(nonsense) + 2) + nonsense
    image = decode_image(data[:2] + segment + data[2:])
    np.testing.assert_array_equal(image.pixels, decode_image(data).pixels)


def test_the_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(ImageError("a\nb.png", "damaged")))
    assert str(error) == "a\\nb.png: damaged"


def test_threads_may_read_at_once():
    files = [whole(format) for format in FORMATS] * 8
    alone = [decode_image(data).pixels for data in files[: len(FORMATS)]] * 8
    with ThreadPoolExecutor(8) as pool:
        for expected, image in zip(alone, pool.map(decode_image, files), strict=True):
            np.testing.assert_array_equal(image.pixels, expected)


def test_a_gif_cut_in_its_frame_is_no_picture():
    buffer = io.BytesIO()
    PIL.Image.effect_noise((64, 64), 80).save(buffer, "GIF")
    with pytest.raises(ImageError):
        decode_image(buffer.getvalue()[:-900])
