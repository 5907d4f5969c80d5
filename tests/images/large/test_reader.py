"""Images read and written strip by strip, against the same images read and written whole."""

from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import pyvips
import tifffile

from i2i.images import Image, ImageError, decode_image, encode_image, read_image
from i2i.images.large.reader import open_strips
from i2i.images.large.writer import write_strips
from tests.conftest import ROOT
from tests.images.samples import orientation_exif

H, W = 333, 271
ICC = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
SPACES = {(1, 8): "b-w", (3, 8): "srgb", (4, 8): "srgb", (1, 16): "grey16", (3, 16): "rgb16", (4, 16): "rgb16"}


def picture(channels: int, bits: int) -> np.ndarray:
    y, x = np.mgrid[:H, :W]
    waves = [np.sin(x / 17 + i) * np.cos(y / (13 + i)) + 1 for i in range(channels)]
    noise = np.random.default_rng(0).normal(0, 0.02, (H, W, channels))
    peak = 2**bits - 1
    return np.clip((np.stack(waves, -1) / 2 + noise) * peak, 0, peak).astype(np.uint8 if bits == 8 else np.uint16)


def vips_of(pixels: np.ndarray) -> pyvips.Image:
    image = pyvips.Image.new_from_array(pixels)
    return image.copy(interpretation=SPACES[pixels.shape[2], 8 * pixels.dtype.itemsize])


def same(path: Path) -> None:
    """Assert that strips equal the image: from top to bottom, from the top again, and with repeated rows."""
    whole, reader = read_image(path), open_strips(path)
    assert reader is not None
    assert (reader.header.height, reader.header.width) == whole.pixels.shape[:2]
    height = whole.height
    cuts = [slice(0, 100), slice(64, 164), slice(100, height), slice(0, 7), slice(5, height), slice(20, 40)]
    for rows in (slice(max(0, c.start), min(height, c.stop)) for c in cuts if c.start < height):
        strip = reader.read(rows)
        np.testing.assert_array_equal(strip.pixels, whole.pixels[rows])
        assert (strip.alpha is None) == (whole.alpha is None)
        if whole.alpha is not None and strip.alpha is not None:
            np.testing.assert_array_equal(strip.alpha, whole.alpha[rows])
        assert strip.icc == whole.icc


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("tile", [False, True])
def test_tiffs_in_strips_equal_the_whole(tmp_path: Path, channels: int, bits: int, tile: bool) -> None:
    image = vips_of(picture(channels, bits))
    for compression in ("none", "lzw", "deflate", "packbits", "jpeg"):
        if compression == "jpeg" and (bits == 16 or channels == 4):
            continue
        path = tmp_path / f"{compression}.tif"
        image.tiffsave(
            path,
            compression=compression,
            predictor="horizontal" if compression == "deflate" else "none",
            tile=tile,
            tile_width=64,
            tile_height=96,
            bigtiff=compression == "lzw" and (channels, bits) != (4, 8),  # which Pillow does not read
        )
        same(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", [{"tile": (64, 96)}, {"rowsperstrip": 23}, {"planarconfig": "separate"}])
def test_both_byte_orders_and_planes(tmp_path: Path, order: str, form: dict) -> None:
    for bits in (8, 16):
        for compression in (None, "adobe_deflate"):
            pixels = picture(3, bits)
            if "planarconfig" in form:
                pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
            path = tmp_path / f"{bits}{compression}.tif"
            tifffile.imwrite(
                path, pixels, photometric="rgb", byteorder=order, compression=compression,
                predictor=compression is not None, iccprofile=ICC, **form,
            )  # fmt: skip
            same(path)
            np.testing.assert_array_equal(read_image(path).pixels, picture(3, bits))


def test_planes_of_cmyk_are_not_taken_for_rgb(tmp_path: Path) -> None:
    path, planes = tmp_path / "cmyk.tif", np.zeros((4, 64, 48), np.uint16)
    tifffile.imwrite(path, planes, photometric="separated", planarconfig="separate")
    with pytest.raises(ImageError, match="planes that are not red, green and blue"):
        read_image(path)


def test_pngs_and_jpegs_in_strips_equal_the_whole(tmp_path: Path) -> None:
    for format, channels, bits in (
        ("PNG", 1, 8), ("PNG", 3, 16), ("PNG", 4, 8), ("PNG", 4, 16), ("JPEG", 3, 8), ("JPEG", 1, 8),
    ):  # fmt: skip
        pixels = picture(channels, bits)
        image = Image(pixels[..., :3], pixels[..., 3]) if channels == 4 else Image(pixels)
        path = tmp_path / f"{channels}{bits}.{format.lower()}"
        path.write_bytes(encode_image(image, format))
        same(path)


def sampled(luma: tuple[int, int], chroma: tuple[int, int]) -> bytes:
    """A JPEG whose colours are sampled so, of 12 x 20 units: blocks of grey under another frame header."""
    factors = (luma, chroma, chroma)
    blocks = 12 * 20 * sum(across * down for across, down in factors)
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 40, (8, 8 * blocks)), (0, 0), 1)
    noise -= noise.reshape(8, blocks, 8).mean((0, 2)).repeat(8)  # or sums of blocks would leave the range
    data = cv2.imencode(".jpg", np.clip(noise + 128, 0, 255).astype(np.uint8))[1].tobytes()
    width, height = 12 * 8 * max(luma[0], chroma[0]) - 3, 20 * 8 * max(luma[1], chroma[1]) - 5
    parts = b"".join(bytes([number, 16 * across + down, 0]) for number, (across, down) in enumerate(factors, 1))
    frame, scan, end = data.index(b"\xff\xc0"), data.index(b"\xff\xda"), data.index(b"\xff\xda") + 10
    behind = frame + 2 + struct.unpack_from(">H", data, frame + 2)[0]
    head = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + parts
    return data[:frame] + head + data[behind:scan] + b"\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0" + data[end:]


@pytest.mark.parametrize("luma", [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4), (4, 2), (3, 1)])
def test_jpeg_chroma_is_upsampled_as_in_the_whole(tmp_path: Path, luma: tuple[int, int]) -> None:
    """4:4:4 to 4:1:0, and samplings without a name."""
    path = tmp_path / "a.jpg"
    for chroma in [(1, 1)] + [(2, 1)] * (luma == (2, 2)) + [(1, 2)] * (luma in ((2, 2), (4, 1))):
        path.write_bytes(sampled(luma, chroma))
        assert read_image(path).pixels.std(axis=2).max() > 20
        same(path)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_rotated_images_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[274] = orientation
    for suffix in ("jpg", "png", "tif"):
        path = tmp_path / f"turned.{suffix}"
        PIL.Image.fromarray(picture(3, 8)).save(path, exif=exif)
        same(path)


def test_files_that_strips_would_read_differently_are_left_alone(tmp_path: Path) -> None:
    cmyk, lab, premultiplied, bmp = (tmp_path / name for name in ("cmyk.jpg", "lab.tif", "associated.tif", "one.bmp"))
    PIL.Image.fromarray(picture(3, 8)).convert("CMYK").save(cmyk)
    PIL.Image.fromarray(picture(3, 8), "RGB").convert("RGB").save(bmp)
    tifffile.imwrite(premultiplied, picture(4, 8), photometric="rgb", extrasamples=["assocalpha"])
    tifffile.imwrite(lab, picture(3, 8), photometric="cielab")
    for path in (cmyk, lab, premultiplied, bmp):
        assert open_strips(path) is None
        read_image(path)


def test_all_hard_images_are_equal_or_left_alone(reference: Callable[[str], Path]) -> None:
    tried = 0
    for path in sorted(reference("data/hard_images").rglob("*.*")):
        try:
            reader, whole = open_strips(path), read_image(path)
        except ImageError:
            continue
        if reader is None:
            continue
        strip = reader.read(slice(0, whole.height))
        np.testing.assert_array_equal(strip.pixels, whole.pixels, str(path))
        tried += 1
    assert tried > 80


def all_of(path: Path) -> None:
    reader = open_strips(path)
    assert reader is not None
    reader.read(slice(0, H))


def test_damage_is_an_error(tmp_path: Path) -> None:
    """Damage anywhere in the file is an error, and never black rows."""
    for name, save in (("a.tif", lambda image, path: image.tiffsave(path, compression="lzw")),
                       ("a.png", lambda image, path: image.pngsave(path)),
                       ("a.jpg", lambda image, path: image.jpegsave(path))):  # fmt: skip
        path = tmp_path / name
        save(vips_of(picture(3, 8)), path)
        data = bytearray(path.read_bytes())
        if name == "a.tif":
            data[len(data) // 2 : len(data) // 2 + 400] = b"\xff" * 400
        path.write_bytes(data if name == "a.tif" else data[: len(data) // 2])
        with pytest.raises(ImageError, match=f"{name}: damaged"):
            all_of(path)


def test_no_room_to_turn_an_image_is_no_damage(tmp_path: Path) -> None:
    PIL.Image.fromarray(picture(3, 8)).save(tmp_path / "a.png", exif=orientation_exif(6))
    program = "from i2i.images.large.reader import *; open_strips(sys.argv[1]).read(slice(0, 9))"
    gone = tmp_path / "gone"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}", tmp_path / "a.png"], cwd=ROOT, capture_output=True, text=True,
        check=False, env={**os.environ, "TMPDIR": str(gone), "VIPS_DISC_THRESHOLD": "1k"},
    )  # fmt: skip
    last = done.stderr.strip().splitlines()[-1]
    assert "a.png: cannot be read: " in last
    assert f"It lies on its side and is unpacked in {gone} to be turned; TMPDIR can name another folder" in last


def strips_of(image: Image, rows: int = 50) -> Iterator[Image]:
    for top in range(0, image.height, rows):
        alpha = None if image.alpha is None else image.alpha[top : top + rows]
        yield Image(image.pixels[top : top + rows], alpha)


@pytest.mark.parametrize("format", ["TIFF", "PNG", "JPEG"])
@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (2, 8), (3, 8), (4, 8), (1, 16), (3, 16), (4, 16)])
def test_a_file_of_strips_is_the_file_of_the_image(tmp_path: Path, format: str, channels: int, bits: int) -> None:
    """In its pixels, alpha, depth and profile."""
    pixels = picture(channels, bits)
    image = Image(pixels[..., :-1], pixels[..., -1]) if channels in (2, 4) else Image(pixels)
    image.icc = ICC  # which is not of grey
    path = tmp_path / ("image" + {"TIFF": ".tif", "PNG": ".png", "JPEG": ".jpg"}[format])
    write_strips(path, strips_of(image), format, quality=100, icc=image.icc)
    have, want = read_image(path), decode_image(encode_image(image, format, 100))
    assert have.pixels.dtype == want.pixels.dtype
    np.testing.assert_allclose(have.pixels.astype(int), want.pixels, atol=6 if format == "JPEG" else 0)
    assert (have.alpha is None) == (want.alpha is None)
    if have.alpha is not None and want.alpha is not None:
        np.testing.assert_array_equal(have.alpha, want.alpha)
    assert (have.icc, have.format, have.frames) == (ICC if have.channels == 3 else None, format, 1)
    assert [other.name for other in tmp_path.iterdir()] == [path.name]


def test_grey_is_kept_if_all_of_it_is(tmp_path: Path) -> None:
    grey = np.repeat(picture(1, 8), 3, axis=2)
    write_strips(tmp_path / "grey.tif", strips_of(Image(grey)), "TIFF", keep_grey=True)
    assert read_image(tmp_path / "grey.tif").pixels.shape == (H, W, 1)
    write_strips(tmp_path / "asked.tif", strips_of(Image(grey)), "TIFF")
    assert read_image(tmp_path / "asked.tif").channels == 3
    grey[-1, -1, 0] ^= 1
    write_strips(tmp_path / "not.tif", strips_of(Image(grey)), "TIFF", keep_grey=True)
    assert read_image(tmp_path / "not.tif").channels == 3


def test_the_resolution_is_kept(tmp_path: Path) -> None:
    write_strips(tmp_path / "a.tif", strips_of(Image(picture(3, 8))), "TIFF", resolution=(11.811, 23.622))
    with PIL.Image.open(tmp_path / "a.tif") as image:
        assert [round(float(value)) for value in image.info["dpi"]] == [300, 600]


def test_a_failed_write_leaves_no_files(tmp_path: Path) -> None:
    target = tmp_path / "a.tif"
    target.write_bytes(b"as it was")

    def failing() -> Iterator[Image]:
        yield next(strips_of(Image(picture(3, 8))))
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        write_strips(target, failing(), "TIFF")
    with pytest.raises(ImageError, match="cannot be written as JPEG"):
        write_strips(target, [Image(np.zeros((1, 70_000, 3), np.uint8))], "JPEG")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    assert target.read_bytes() == b"as it was"


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="files cannot be limited here")
@pytest.mark.parametrize("room", [0.5, 1.1])
def test_a_full_disk_is_recognised(tmp_path: Path, room: float) -> None:
    """While strips are stored, and while the file is encoded: noise grows under LZW."""
    import resource

    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(noise.size * room), hard))
    try:
        with pytest.raises(ImageError, match=os.strerror(errno.EFBIG)) as caught:
            write_strips(tmp_path / "a.tif", strips_of(Image(noise)), "TIFF")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert not list(tmp_path.iterdir())


def test_errors_of_libvips_while_writing_name_the_output(tmp_path: Path) -> None:
    def emptied() -> Iterator[Image]:
        yield Image(picture(3, 8))
        for waiting in tmp_path.iterdir():
            waiting.unlink()

    with pytest.raises(ImageError, match=r"a\.tif: cannot be written as TIFF: .*No such file"):
        write_strips(tmp_path / "a.tif", emptied(), "TIFF")
    assert not list(tmp_path.iterdir())


def test_errors_name_the_input_or_the_output(tmp_path: Path) -> None:
    def broken() -> Iterator[Image]:
        yield Image(picture(3, 8))
        raise BrokenPipeError(errno.EPIPE, "nobody listens")

    with pytest.raises(BrokenPipeError):
        write_strips(tmp_path / "a.tif", broken(), "TIFF")
    with pytest.raises(ImageError, match="cannot be written: No such file"):
        write_strips(tmp_path / "gone" / "a.tif", iter([Image(picture(3, 8))]), "TIFF")
    assert not list(tmp_path.iterdir())
