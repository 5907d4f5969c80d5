"""Contents of an image file beyond its pixels: kept in the result, or named once where it is written."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import pytest
import tifffile

import i2i
from i2i.images import Image, decode_image, encode_image, losses, read_image, write_image
from i2i.images.formats.png import chunk
from i2i.runtime import Model
from tests import tiny
from tests.images.samples import picture

PROFILE = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
GREY = PROFILE[:16] + b"GRAY" + PROFILE[20:]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tiny.inverter(tmp_path_factory.mktemp("model") / "invert.onnx"), "cpu", 1)


def with_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    """A small PNG with these chunks after its header."""
    data = encode_image(Image(picture()), "PNG")
    return data[:33] + b"".join(chunk(kind, body) for kind, body in chunks) + data[33:]


SRGB = [
    (b"gAMA", struct.pack(">I", 45455)),
    (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
]
ROUNDED = (b"cHRM", struct.pack(">8I", 31269, 32899, 63999, 33001, 30000, 60000, 15000, 5999))
LINEAR = (b"gAMA", struct.pack(">I", 100000))


@pytest.mark.parametrize(
    ("chunks", "lost"),
    [
        (SRGB, ()),
        ([LINEAR], ("colours of gAMA",)),
        ([LINEAR, (b"sRGB", b"\0")], ()),  # which replaces it
        ([(b"cICP", bytes([9, 16, 0, 1])), (b"cLLI", bytes(8))], ("HDR transfer", "primaries", "HDR light levels")),
        ([(b"cICP", bytes([1, 13, 0, 1]))], ()),
        ([(b"gAMA", struct.pack(">I", 45454)), ROUNDED], ()),  # as other programs write sRGB
        ([(b"gAMA", b""), (b"cHRM", b"x"), (b"cICP", b"\x09")], ()),  # damaged: the pixels are sound
    ],
)  # fmt: skip
def test_colour_chunks_of_a_png(chunks: list[tuple[bytes, bytes]], lost: tuple[str, ...]) -> None:
    assert decode_image(with_chunks(*chunks)).lost == lost


def metadata_of(data: bytes) -> tuple[str, ...]:
    found = decode_image(data, metadata=True).metadata
    assert found is not None
    return found.unread


def test_metadata_that_is_not_read_is_named_where_it_is_asked_for(tmp_path: Path) -> None:
    text = with_chunks((b"tEXt", b"Author\0somebody"), (b"tEXt", b"Author\0again"))
    assert metadata_of(text) == ("text Author",)
    assert losses(decode_image(text), "PNG") == []
    assert losses(decode_image(text, metadata=True), "PNG") == ["text Author"]
    jpeg = encode_image(Image(picture()), "JPEG")
    parts = b"\xff\xed\x00\x10Photoshop 3.0\0" + b"\xff\xfe\x00\x06note"
    assert metadata_of(jpeg[:2] + parts + jpeg[2:]) == ("IPTC or other data of Photoshop", "comment")
    tifffile.imwrite(tmp_path / "a.tif", picture(), description="x", extratags=[(33550, "d", 3, (1.0, 1.0, 0.0), True)])
    assert metadata_of((tmp_path / "a.tif").read_bytes()) == ("GeoTIFF tags", "text ImageDescription")


XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'>%s</x:xmpmeta>"
GAIN = b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'


@pytest.mark.parametrize(
    ("segment", "pictures", "lost"),
    [
        (b"\xff\xe1" + XMP % GAIN, 2, ["HDR gain map"]),
        (b"\xff\xe2urn:iso:std:iso:ts:21496:-1\0\0\0\0\0", 2, ["HDR gain map"]),
        (b"\xff\xe1" + XMP % GAIN, 3, ["HDR gain map", "frames or pages after the first"]),
        (b"\xff\xe1" + XMP % b'<r GCamera:MotionPhoto="1"/>', 1, ["video of a motion photo"]),
        (b"\xff\xe1" + XMP % b"<GCamera:MicroVideo>1</GCamera:MicroVideo>", 1, ["video of a motion photo"]),
        (b"\xff\xe1" + XMP % b'<r GCamera:MotionPhoto="0"/>', 1, []),
        (b"\xff\xe1" + XMP % b"", 2, ["frames or pages after the first"]),
    ],
)  # fmt: skip
def test_what_phones_store_behind_a_picture_is_named(segment: bytes, pictures: int, lost: list[str]) -> None:
    """Ultra HDR and motion photos: a gain map is no further picture."""
    file, picture_of = io.BytesIO(), PIL.Image.fromarray(picture())
    picture_of.save(file, "MPO", save_all=True, append_images=[picture_of] * (pictures - 1))
    data, kind, body = file.getvalue(), segment[:2], segment[2:]
    marked = data[:2] + kind + struct.pack(">H", len(body) + 2) + body + data[2:]
    assert sorted(losses(decode_image(marked), "PNG")) == lost


def test_inks_become_rgb_and_are_named() -> None:
    for format in ("JPEG", "TIFF"):
        file = io.BytesIO()
        PIL.Image.new("CMYK", (8, 8), (10, 20, 30, 40)).save(file, format)
        assert losses(decode_image(file.getvalue()), "PNG") == ["CMYK"]


@pytest.mark.parametrize("factor", ["444", "422", "440", "411", "420"])
def test_a_jpeg_keeps_its_chroma_sampling(factor: str, model: Model, tmp_path: Path) -> None:
    option = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{factor}")
    cv2.imwrite(str(tmp_path / "a.jpg"), picture(), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, option])
    i2i.translate(tmp_path / "a.jpg", tmp_path / "b.jpg", model)
    layers = []
    for name in ("a.jpg", "b.jpg"):
        with PIL.Image.open(tmp_path / name) as image:
            layers.append([layer[1:3] for layer in image.layer])
    assert layers[0] == layers[1]


@pytest.mark.parametrize("icc", [None, PROFILE])  # with a profile the file has the extended form
def test_a_lossless_webp_stays_lossless(icc: bytes | None, model: Model, tmp_path: Path) -> None:
    write_image(tmp_path / "a.webp", Image(picture(), icc=icc), quality=100)
    i2i.translate(tmp_path / "a.webp", tmp_path / "b.webp", model)
    np.testing.assert_array_equal(read_image(tmp_path / "b.webp").pixels, 255 - picture())
    write_image(tmp_path / "lossy.webp", Image(picture(), icc=icc), quality=95)
    i2i.translate(tmp_path / "lossy.webp", tmp_path / "c.webp", model)
    assert read_image(tmp_path / "c.webp").coding == ""


def test_a_grey_profile_is_kept_where_the_result_is_grey(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_image(tmp_path / "a.png", Image(picture(channels=1), icc=GREY))
    i2i.translate(tmp_path / "a.png", tmp_path / "b.png", model)
    assert read_image(tmp_path / "b.png").icc == GREY
    assert caplog.messages == []


def test_sixteen_bits_through_a_model_of_eight_are_named(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "in" / name, Image(picture(bits=16)))
    i2i.translate(tmp_path / "in" / "a.png", tmp_path / "c.png", model)
    i2i.translate(tmp_path / "in", tmp_path / "out", model)
    bits, folder = "not carried over to PNG: more than 8 bits", tmp_path / "in"
    assert caplog.messages[0] == f"{tmp_path / 'c.png'}: {bits}"
    (line,) = caplog.messages[1:]
    assert line.startswith(f"{bits} (2 results: {folder}")


def test_a_grey_profile_is_named_where_the_result_has_colours(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(tmp_path / "a.png", Image(picture(channels=1), icc=GREY))
    tinted = Model(tiny.tinted(tmp_path / "tinted.onnx"), "cpu", 1)
    i2i.translate(tmp_path / "a.png", tmp_path / "b.png", tinted)
    assert read_image(tmp_path / "b.png").icc is None
    assert caplog.messages == [f"{tmp_path / 'b.png'}: not carried over to PNG: colour profile"]
