"""EXIF and XMP from file to file, as Pillow reads them."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from i2i.images import Image, ImageError, decode_image, encode_image, left_out, read_image
from i2i.images.exif import upright_exif, upright_xmp
from i2i.images.image import Metadata
from i2i.images.large import writer
from i2i.images.metadata import read_metadata
from tests.images.samples import picture

THUMBNAIL = b"\xff\xd8what it was before\xff\xd9"
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" exif:PixelXDimension="24" '
    b'dc:creator="someone" xmpNote:HasExtendedXMP="0123"><xmp:Thumbnails><rdf:Alt>BEFORE</rdf:Alt></xmp:Thumbnails>'
    b"</rdf:Description></x:xmpmeta>"
)


def exif(order: str = "<", thumbnail: bytes = THUMBNAIL) -> bytes:
    """Orientation 6, a maker, pixel dimensions of 24 x 16, latitude north, and a second directory of a thumbnail."""

    def directory(at: int, entries: list[tuple[int, int, int, bytes]], following: int = 0) -> bytes:
        """Values of more than four bytes lie behind the directory."""
        rest = at + 2 + 12 * len(entries) + 4
        head, tail = struct.pack(order + "H", len(entries)), b""
        for tag, kind, count, value in entries:
            field = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(order + "I", rest + len(tail))
            tail += value if len(value) > 4 else b""
            head += struct.pack(order + "HHI", tag, kind, count) + field
        return head + struct.pack(order + "I", following) + tail

    long = lambda number: struct.pack(order + "I", number)  # noqa: E731
    short = lambda number: struct.pack(order + "H", number)  # noqa: E731
    details, place, second = 100, 200, 300
    block = bytearray(400)
    block[:8] = (b"II*\0" if order == "<" else b"MM\0*") + long(8)
    main = [(271, 2, 8, b"A maker\0"), (274, 3, 1, short(6)), (34665, 4, 1, long(details)), (34853, 4, 1, long(place))]
    parts = {
        8: directory(8, main, second),
        details: directory(details, [(0xA002, 4, 1, long(24)), (0xA003, 3, 1, short(16))]),
        place: directory(place, [(1, 2, 2, b"N\0")]),
        second: directory(second, [(0x201, 4, 1, long(400)), (0x202, 4, 1, long(len(thumbnail)))]),
    }
    for at, part in parts.items():
        block[at : at + len(part)] = part
    return bytes(block) + thumbnail


def stored(format: str, exif: bytes, xmp: bytes) -> bytes:
    """A file of 24 x 16 pixels as it lies, 16 x 24 upright, written by Pillow."""
    file = io.BytesIO()
    image = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8))
    if format == "PNG":
        info = PIL.PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
        image.save(file, format, exif=exif, pnginfo=info)
    else:
        image.save(file, format, exif=b"Exif\0\0" + exif, xmp=xmp)
    return file.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
def test_it_is_carried_upright_and_without_thumbnails(source: str, target: str, order: str) -> None:
    data = stored(source, exif(order), XMP)
    image = decode_image(data, metadata=True)
    assert image.pixels.shape == (24, 16, 3)
    result = encode_image(image, target)
    with PIL.Image.open(io.BytesIO(result)) as found:
        found.load()
        tags = found.getexif()
        assert (tags[271].rstrip("\0"), tags[274]) == ("A maker", 1)
        assert tags.get_ifd(34665) == {0xA002: 16, 0xA003: 24}
        assert tags.get_ifd(34853) == {1: "N"}
        assert not tags.get_ifd(1)  # the directory of the thumbnail
    assert b"what it was before" not in result
    assert b"BEFORE" not in result
    xmp = read_metadata(io.BytesIO(result), target).xmp
    assert xmp is not None
    for said in (b'tiff:Orientation="1"', b'exif:PixelXDimension="16"', b'dc:creator="someone"'):
        assert said in xmp
    assert b"HasExtendedXMP" not in xmp
    again = decode_image(result)
    assert again.pixels.shape == image.pixels.shape  # not turned once more
    if target == "PNG":
        np.testing.assert_array_equal(again.pixels, image.pixels)


@pytest.mark.parametrize("boxed", [True, False])
def test_that_of_a_jpeg_2000_is_carried_to_formats_that_hold_it(boxed: bool) -> None:
    """In boxes of its own before the pixels; a bare code stream has none."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (16, 24)).save(file, "JPEG2000", no_jp2=not boxed)
    data = file.getvalue()
    names = (b"JpgTiffExif->JP2", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"))
    for name, content in zip(names, (exif(), XMP), strict=True):
        at = data.index(b"jp2c") - 4 if boxed else len(data)
        data = data[:at] + struct.pack(">I4s", 24 + len(content), b"uuid") + name + content + data[at:]
    image = decode_image(data, metadata=True)
    assert image.metadata == (Metadata(exif(), XMP) if boxed else Metadata())
    assert left_out(image.metadata, "JPEG2000") == ["EXIF", "XMP"] * boxed
    with PIL.Image.open(io.BytesIO(encode_image(image, "PNG"))) as found:
        assert found.getexif().get(271, "").rstrip("\0") == "A maker" * boxed


@pytest.mark.parametrize("packed", [False, True])
def test_xmp_in_an_old_chunk_of_text_is_found(packed: bool) -> None:
    """Where libvips puts it."""
    file, info = io.BytesIO(), PIL.PngImagePlugin.PngInfo()
    info.add_text("XML:com.adobe.xmp", XMP.decode(), zip=packed)
    PIL.Image.new("RGB", (4, 3)).save(file, "PNG", pnginfo=info)
    assert read_metadata(file, "PNG").xmp == XMP


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_nothing_is_kept_unless_asked(format: str) -> None:
    data = stored("JPEG", exif(), XMP)
    result = encode_image(decode_image(data), format)
    for secret in (b"A maker", b"someone", b"what it was before"):
        assert secret in data
        assert secret not in result


def test_profile_alpha_and_metadata_are_in_one_webp() -> None:
    image = Image(np.zeros((6, 5, 3), np.uint8), np.full((6, 5), 9, np.uint8), metadata=Metadata(exif(), XMP))
    image.icc = bytes(16) + b"RGB " + bytes(109)  # an odd length
    result = decode_image(encode_image(image, "WEBP", 100), metadata=True)
    assert result.icc == image.icc
    assert result.metadata is not None
    assert result.metadata.exif == upright_exif(exif(), 5, 6)
    assert result.alpha is not None
    assert int(result.alpha.max()) == 9


def test_what_a_format_cannot_hold_is_named() -> None:
    both = Metadata(exif(), XMP)
    assert [left_out(both, format) for format in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PNM", "JPEG2000")] == [
        [], [], [], ["EXIF"], ["EXIF", "XMP"], ["EXIF", "XMP"], ["EXIF", "XMP"],
    ]  # fmt: skip
    large = Metadata(exif() + bytes(66_000), XMP + b" " * 66_000)
    assert left_out(large, "JPEG") == ["EXIF", "XMP"]
    assert left_out(large, "PNG") == []
    for format in ("JPEG", "BMP"):
        assert decode_image(encode_image(Image(np.zeros((4, 4, 3), np.uint8), metadata=large), format)).width == 4


def test_a_tiff_keeps_its_xmp_and_loses_its_exif_with_a_note(tmp_path: Path) -> None:
    tags = PIL.TiffImagePlugin.ImageFileDirectory_v2()
    tags[700] = XMP
    tags[34665] = {0xA002: 5}
    PIL.Image.fromarray(np.zeros((6, 5, 3), np.uint8)).save(tmp_path / "a.tif", tiffinfo=tags)
    image = read_image(tmp_path / "a.tif", metadata=True)
    assert image.metadata == Metadata(None, XMP, ("EXIF",))
    assert left_out(image.metadata, "TIFF") == ["EXIF"]
    result = decode_image(encode_image(image, "TIFF"), metadata=True)
    assert result.metadata is not None
    assert result.metadata.xmp == upright_xmp(XMP, 5, 6)


def test_a_thumbnail_in_strips_goes_too() -> None:
    block = bytearray(exif())
    for tag, other in ((0x201, 273), (0x202, 279)):
        at = bytes(block).index(struct.pack("<HHI", tag, 4, 1))
        block[at : at + 2] = struct.pack("<H", other)
    cleaned = upright_exif(bytes(block), 5, 6)
    assert cleaned is not None
    assert b"what it was before" not in cleaned
    assert b"A maker" in cleaned


@pytest.mark.parametrize("seed", range(4))
def test_damaged_metadata_costs_no_image(seed: int) -> None:
    """It is left out, or carried over as far as it is understood; it never hangs, and raises no other error."""
    data = stored("JPEG", exif(), XMP)
    whole = exif()
    random = np.random.default_rng(seed)
    for _ in range(150):
        block = bytearray(whole)
        for at in random.integers(0, len(whole), 4):
            block[at] = random.integers(0, 256)
        damaged = data.replace(whole, bytes(block[: random.integers(0, len(block))].ljust(len(whole), b"\0")))
        try:
            image = decode_image(damaged, metadata=True)
        except ImageError:
            continue
        for format in ("JPEG", "PNG", "WEBP"):
            assert decode_image(encode_image(image, format)).width == image.width
    assert left_out(Metadata(b"no TIFF"), "PNG") == ["EXIF"]


@pytest.mark.parametrize("resolution", [None, (3.937, 7.874)])
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF"])
def test_a_file_of_strips_has_the_same_bytes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, resolution: tuple[float, float] | None
) -> None:
    """libvips would rewrite EXIF, and the offsets in cameras' own notes would be wrong."""
    monkeypatch.setattr(writer, "_BLOCK", 100)  # the file is longer
    image = Image(picture(), metadata=Metadata(exif(), XMP), resolution=resolution)
    path = tmp_path / "a"
    strips = (Image(image.pixels[top : top + 7]) for top in range(0, image.height, 7))
    writer.write_strips(path, strips, format, 100, resolution=resolution, metadata=image.metadata)
    have, want = read_image(path, metadata=True), decode_image(encode_image(image, format, 100), metadata=True)
    assert have.metadata == want.metadata
    assert have.metadata is not None
    assert have.metadata.xmp is not None
    assert have.resolution == pytest.approx(want.resolution, abs=0.01)
    np.testing.assert_allclose(have.pixels.astype(int), want.pixels, atol=6 if format == "JPEG" else 0)
    with PIL.Image.open(path) as found:
        found.load()
