"""Images are read with all their contents: orientation, alpha, grey, 16 bits, palettes, CMYK, first frames."""

from __future__ import annotations

import io
import struct

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tifffile

from i2i.images import Header, ImageError, convert, decode_image, flatten, read_header, read_image
from i2i.images.header import parse_header
from i2i.images.large.reader import open_strips
from tests.images.samples import alpha_of, orientation_exif, picture, pillow_bytes


def header_of(data: bytes) -> Header:
    return parse_header(io.BytesIO(data), "sample")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(format, orientation):
    stored = picture(40, 64)
    options = {"quality": 95} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    data = pillow_bytes(stored, format, exif=orientation_exif(orientation), **options)
    with PIL.Image.open(io.BytesIO(data)) as image:
        upright = np.asarray(PIL.ImageOps.exif_transpose(image))
    assert upright.shape[:2] == ((64, 40) if orientation >= 5 else (40, 64))
    np.testing.assert_array_equal(decode_image(data).pixels, upright)
    header = header_of(data)
    assert (header.height, header.width, header.orientation) == (*upright.shape[:2], orientation)


def test_orientation_turns_alpha_too():
    pixels, alpha = picture(40, 64), alpha_of(40, 64)
    data = pillow_bytes(np.dstack([pixels, alpha]), "PNG", exif=orientation_exif(6))
    image = decode_image(data)
    assert image.alpha is not None
    np.testing.assert_array_equal(image.alpha, np.rot90(alpha, -1))


@pytest.mark.parametrize(
    ("mode", "channels", "alpha"),
    [("L", 1, False), ("1", 1, False), ("LA", 1, True), ("P", 3, True), ("RGB", 3, False), ("RGBA", 3, True)],
)
def test_png_keeps_the_kind_of_its_pixels(mode, channels, alpha):
    pixels = np.dstack([picture(), alpha_of()])
    data = pillow_bytes(pixels, "PNG", mode)
    image, header = decode_image(data), header_of(data)
    assert (image.channels, image.alpha is not None, image.bits) == (channels, alpha, 8)
    assert (header.channels, header.alpha, header.bits) == (channels, alpha, 8)
    with PIL.Image.open(io.BytesIO(data)) as expected:
        np.testing.assert_array_equal(convert(image.pixels, 3, 8), np.asarray(expected.convert("RGBA"))[..., :3])


def test_colour_is_kept_where_alpha_is_zero():
    pixels, alpha = picture(), np.zeros((48, 64), np.uint8)
    image = decode_image(pillow_bytes(np.dstack([pixels, alpha]), "PNG"))
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.alpha is not None
    assert not image.alpha.any()
    assert (flatten(image) == 255).all()
    assert (flatten(image, background=0) == 0).all()


def test_a_transparent_grey_level_becomes_alpha():
    pixels = picture(channels=1)
    level = int(pixels[20, 30, 0])
    image = decode_image(pillow_bytes(pixels, "PNG", transparency=level))
    assert image.alpha is not None
    np.testing.assert_array_equal(image.alpha == 0, pixels[..., 0] == level)


def test_a_transparent_palette_entry_becomes_alpha():
    indices = np.repeat(np.arange(64, dtype=np.uint8)[None] // 16, 48, axis=0)
    source = PIL.Image.frombytes("P", (64, 48), indices.tobytes())
    source.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    buffer = io.BytesIO()
    source.save(buffer, "PNG", transparency=2)
    image = decode_image(buffer.getvalue())
    assert image.alpha is not None
    np.testing.assert_array_equal(image.alpha == 0, indices == 2)
    assert tuple(flatten(image)[0, 40]) == (255, 255, 255)
    assert tuple(flatten(image)[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_a_16_bit_ramp_is_neither_clipped_nor_saturated(format):
    ramp = np.linspace(0, 65535, 4096).astype(np.uint16).reshape(64, 64, 1)
    image = decode_image(pillow_bytes(ramp, format))
    assert image.bits == 16
    np.testing.assert_array_equal(image.pixels, ramp)
    assert np.abs(convert(image.pixels, 1, 8) / 255 - ramp / 65535).max() <= 0.5 / 255 + 1e-9


def test_a_tiled_16_bit_tiff_of_colour_is_read_right():
    """OpenCV's IMREAD_COLOR garbles it."""
    pixels = picture(40, 50, bits=16)
    tile = np.zeros((64, 64, 3), "<u2")
    tile[:40, :50] = pixels
    body = b"II*\0" + struct.pack("<I", 8 + tile.nbytes + 6) + tile.tobytes() + struct.pack("<3H", 16, 16, 16)
    tags = [(256, 50), (257, 40), (258, None), (259, 1), (262, 2), (277, 3), (284, 1), (322, 64), (323, 64), (324, 8)]
    body += struct.pack("<H", len(tags) + 1)
    for tag, value in tags:
        body += struct.pack("<HHII", tag, *((3, 3, 8 + tile.nbytes) if value is None else (4, 1, value)))
    body += struct.pack("<HHII", 325, 4, 1, tile.nbytes) + b"\0\0\0\0"
    np.testing.assert_array_equal(decode_image(body).pixels, pixels)


@pytest.mark.parametrize("white", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_tiffs_of_every_depth_with_either_end_as_0(tmp_path, bits, white):
    """OpenCV takes a white of 0 for black in 16 bits, and reads no 2 and 4 bits."""
    levels = np.random.default_rng(0).integers(0, 2**bits, (70, 88))
    want = (levels * (65535 if bits == 16 else 255) // (2**bits - 1)).astype(np.uint16 if bits == 16 else np.uint8)
    stored = levels if not white else 2**bits - 1 - levels
    if bits < 8:
        digits = np.unpackbits(stored.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :]
        packed = np.packbits(digits.reshape(70, -1), axis=1).tobytes()
    else:
        packed = stored.astype("<u2" if bits == 16 else "u1").tobytes()
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_of(packed, 88, 70, bits, 0 if white else 1))
    np.testing.assert_array_equal(read_image(path).pixels[..., 0], want)
    strips = open_strips(path)
    assert strips is not None
    np.testing.assert_array_equal(strips.read(slice(0, 70)).pixels[..., 0], want)


@pytest.mark.parametrize("tile", [(16, 32), (32, 16)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
def test_tiffs_of_small_tiles(tmp_path, bits, channels, tile):
    """OpenCV reads none of less than 32 pixels in 8 bits."""
    path, pixels = tmp_path / "a.tif", picture(40, 50, channels, bits)
    tifffile.imwrite(path, pixels.squeeze(), photometric="rgb" if channels == 3 else "minisblack", tile=tile)
    np.testing.assert_array_equal(read_image(path).pixels, pixels)


@pytest.mark.parametrize("bits", [8, 16])
def test_tiles_plane_by_plane_are_read_at_once_or_refused_by_name(tmp_path, bits):
    """libvips detects only while reading that it cannot read them."""
    path, pixels = tmp_path / "a.tif", picture(40, 50, bits=bits)
    tifffile.imwrite(path, pixels.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", tile=(32, 32))
    if bits == 8:
        np.testing.assert_array_equal(read_image(path).pixels, pixels)
        assert open_strips(path) is None
    else:
        with pytest.raises(ImageError, match=r"a 16-bit TIFF in tiles plane by plane.*convert it to PNG"):
            read_image(path)


@pytest.mark.parametrize(("bits", "form"), [(16, {}), (8, {"planarconfig": "separate"}), (8, {"photometric": 0})])
def test_grey_with_alpha_that_no_decoder_reads_is_refused_by_name(tmp_path, bits, form):
    """Pillow misreads the second plane, and does not support alpha where 0 is white."""
    pixels, path = np.dstack([picture(40, 50, channels=1, bits=bits), alpha_of(40, 50, bits=bits)]), tmp_path / "a.tif"
    if "planarconfig" in form:
        pixels = pixels.transpose(2, 0, 1)
    tifffile.imwrite(path, pixels, **{"photometric": 1, "extrasamples": ["unassalpha"], **form})
    with pytest.raises(ImageError, match="grey with alpha in 16 bits, in planes or with a white of 0"):
        read_image(path)


def tiff_of(data, width, height, bits, photometric):
    """A little-endian TIFF of one strip."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, height)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (279, len(data))])
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", 9) + entries + bytes(4)


@pytest.mark.parametrize("bits", [8, 16])
def test_colours_that_a_tiff_has_multiplied_with_alpha_are_divided_by_it(tmp_path, bits):
    peak, pixels = 2**bits - 1, picture(40, 50, bits=bits)
    alpha = np.maximum(alpha_of(40, 50, bits=bits), peak // 3)
    stored = np.rint(pixels * (alpha[..., None] / peak)).astype(pixels.dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.dstack([stored, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    image = read_image(path)
    assert np.abs(image.pixels.astype(int) - pixels).max() <= 3
    np.testing.assert_array_equal(image.alpha, alpha)


def test_rgba_tiff_is_not_premultiplied():
    pixels, alpha = picture(), alpha_of()
    image = decode_image(pillow_bytes(np.dstack([pixels, alpha]), "TIFF"))
    np.testing.assert_array_equal(image.pixels, pixels)
    np.testing.assert_array_equal(image.alpha, alpha)


def test_cmyk_becomes_rgb():
    flat = np.zeros((16, 16, 3), np.uint8) + np.array([200, 30, 60], np.uint8)
    data = pillow_bytes(flat, "JPEG", "CMYK", quality=95)
    image = decode_image(data)
    assert image.channels == 3
    assert np.abs(image.pixels.astype(int) - flat).max() <= 4


@pytest.mark.parametrize(("maximum", "stored", "expected"), [(4095, 4095, 65535), (63, 21, 85), (1000, 500, 32768)])
def test_pnm_values_are_scaled_by_their_largest(maximum, stored, expected):
    kind = ">u2" if maximum > 255 else "u1"
    binary = b"P5\n# a comment\n2 1\n%d\n" % maximum + np.array([0, stored], kind).tobytes()
    plain = b"P2\n2 1\n%d\n0 %d\n" % (maximum, stored)
    assert decode_image(binary).pixels[0, :, 0].tolist() == [0, expected]
    assert decode_image(plain).pixels[0, :, 0].tolist() == [0, expected]


def test_bitmaps_of_pnm_are_black_where_set():
    assert decode_image(b"P4\n3 1\n\xa0").pixels[0, :, 0].tolist() == [0, 255, 0]
    assert decode_image(b"P1\n3 1\n1 0 1\n").pixels[0, :, 0].tolist() == [0, 255, 0]


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_of_several_frames_is_read_and_all_are_counted(format):
    frames = [PIL.Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "lime")]
    buffer = io.BytesIO()
    options = {"lossless": True} if format == "WEBP" else {}
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:], **options)
    image = decode_image(buffer.getvalue())
    assert image.frames == header_of(buffer.getvalue()).frames == 3
    assert tuple(image.pixels[5, 5]) == (255, 0, 0)


@pytest.mark.parametrize("size", [(1, 1), (3000, 1), (3, 3), (5, 7)])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_the_smallest_and_narrowest_images_are_read(format, size):
    data = pillow_bytes(picture(*size), format)
    assert decode_image(data).pixels.shape == (*size, 3)


def test_a_wrong_suffix_and_a_strange_name_do_not_matter(tmp_path):
    path = tmp_path / "-a ü 漢字 \n b.jpg"
    path.write_bytes(pillow_bytes(picture(), "PNG"))
    assert read_image(path).format == read_header(path).format == "PNG"


def test_16_bit_alpha_composites_exactly():
    pixels, alpha = picture(bits=16), alpha_of(bits=16)
    image = decode_image(pillow_bytes(picture(), "PNG"))
    image.pixels, image.alpha = pixels, alpha
    share = alpha[..., None] / 65535
    assert np.abs(flatten(image) - (pixels * share + 65535 * (1 - share))).max() <= 0.5 + 1e-6


def test_conversions_of_depth_are_inverse():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    np.testing.assert_array_equal(convert(convert(levels, 1, 16), 1, 8), levels)
    assert convert(np.full((1, 1, 3), 255, np.uint8), 1, 16)[0, 0, 0] == 65535
    with pytest.raises(ValueError, match="1 or 3 channels"):
        convert(levels, 4, 8)
