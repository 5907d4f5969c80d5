"""``POST /v1/translate/MODEL``: the same result as ``i2i translate``, and one status for each kind of error."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PIL import Image as Pillow

import i2i
from i2i.images import WRITABLE, Image, decode_image, encode_image
from i2i.images.formats.png import chunk
from i2i.runtime import Options
from i2i.runtime.jobs.single import translate_bytes
from i2i.serving.web.parameters import MEDIA
from i2i.spec import Domain, Spec
from tests import tiny
from tests.serving.conftest import Running, encoded, form, picture, running


def test_every_written_format_has_a_media_type() -> None:
    assert set(MEDIA) == set(WRITABLE)


@pytest.mark.parametrize("format", [name for name in WRITABLE if name != "AVIF"])
def test_an_image_comes_back_in_its_own_format_as_translate_returns_it(
    service: Running, models: Path, format: str
) -> None:
    data = encoded(picture(64, 96), format)
    answer = service.translate(data)
    assert (answer.status, answer.headers["content-type"]) == (200, MEDIA[format])
    expected = translate_bytes(i2i.load(models / "tiny.onnx", "cpu"), data, Options())
    assert answer.body == encode_image(expected, format)
    assert (decode_image(answer.body).pixels == expected.pixels).all() or format in ("JPEG", "WEBP")


def test_alpha_depth_and_profile_are_kept(service: Running, models: Path) -> None:
    rgba = picture(channels=4, dtype=np.uint16)
    data = encoded(rgba[..., :3].copy(), alpha=rgba[..., 3].copy())
    result = decode_image(service.translate(data, "deep").body)
    assert result.pixels.dtype == np.uint16
    assert (result.pixels == 65535 - rgba[..., :3]).all()
    assert result.alpha is not None
    assert (result.alpha == rgba[..., 3]).all()


def test_arrays_of_measurements(tmp_path: Path) -> None:
    heights = Domain("height", 2, 32, "float32", ((-10, 10),))
    shape: list[object] = ["n", "h", "w", 2]
    ends = [("x", "float32", shape)], [("y", "float32", shape)]
    path = tiny.write(
        tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], Spec("tiny", "a2b", heights, heights), {}, *ends
    )
    array = np.random.default_rng(0).uniform(-9, 9, (8, 9, 2)).astype(np.float32)
    data = encoded(array, "NPY")
    with running(path) as here:
        answer = here.translate(data, "m")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/x-npy")
        assert np.array_equal(np.load(io.BytesIO(answer.body)), -array)
        refused = here.translate(data, "m", "?format=jpeg")
        assert (refused.status, "JPEG" in refused.detail) == (422, True)
        assert here.translate(encoded(picture()), "m").status == 422


def test_losses_are_named_in_a_header(service: Running) -> None:
    rgba = picture(channels=4)
    data = encoded(rgba[..., :3].copy(), alpha=rgba[..., 3].copy())
    answer = service.translate(data, query="?format=jpeg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["i2i-lost"] == "not carried over to JPEG: alpha"
    assert "i2i-lost" not in service.translate(data).headers


def test_what_a_file_says_stays_one_short_line_of_the_header(service: Running) -> None:
    end = PNG.index(b"IEND") - 4
    odd = PNG[:end] + chunk(b"tEXt", b"a\nb\0c") + PNG[end:]
    answer = service.translate(odd, query="?keep_metadata=true")
    assert (answer.status, answer.headers["i2i-lost"]) == (200, r"not carried over to PNG: text a\x0ab")
    many = b"".join(chunk(b"tEXt", b"%d%s\0c" % (number, b"x" * 70)) for number in range(1000))
    answer = service.translate(PNG[:end] + many + PNG[end:], query="?keep_metadata=true")
    assert (answer.status, len(answer.headers["i2i-lost"]), answer.headers["i2i-lost"][-4:]) == (200, 2004, " ...")


def test_what_is_read_but_not_written_comes_back_as_png(service: Running) -> None:
    buffer = io.BytesIO()
    Pillow.fromarray(picture()[..., 0]).save(buffer, "GIF")
    answer = service.translate(buffer.getvalue())
    assert answer.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("image/webp;q=0.5, image/jpeg;q=0.9", "image/jpeg"),
        ("image/jpeg, image/png", "image/png"),
        ("text/html, image/tiff;q=0.1", "image/tiff"),
    ],
)
def test_accept_chooses_the_format(service: Running, accept: str, expected: str) -> None:
    assert service.translate(encoded(picture()), headers={"Accept": accept}).headers["content-type"] == expected


def test_domains_attributes_and_styles(service: Running) -> None:
    pixels = picture() // 2
    data = encoded(pixels)
    rain = decode_image(service.translate(data, "weather", "?to=rain").body).pixels
    assert (rain == pixels + 20).all()
    faces = decode_image(service.translate(data, "faces", "?to=male,smiling").body).pixels
    assert (faces == pixels + 5).all()
    seeds = [service.translate(data, "styled", query).body for query in ("?seed=0", "?seed=3", "", "?seed=3")]
    assert seeds[0] == seeds[2] != seeds[1] == seeds[3]
    grey = np.full((8, 8, 3), 40, np.uint8)
    body, headers = form(("image", "a.png", data), ("style", "/etc/passwd", encoded(grey)))
    styled = decode_image(service.post("/v1/translate/styled", body, headers=headers).body).pixels
    assert (styled == np.minimum(pixels.astype(int) + 40, 255)).all()


def test_masks_paste_results_back_into_their_images(service: Running, models: Path, tmp_path: Path) -> None:
    pixels, mask = picture(), picture(channels=1, seed=1) // 128 * 128
    source, black = encoded(pixels), encoded(np.zeros((24, 32, 1), np.uint8))
    for name, data in (("a.png", source), ("sky.png", encoded(mask))):
        (tmp_path / name).write_bytes(data)
    expected = i2i.translate(
        tmp_path / "a.png", tmp_path / "b.png", model=models / "tiny.onnx", mask=tmp_path / "sky.png"
    )
    body, headers = form(("image", "a.png", source), ("mask", "any.png", encoded(mask)))
    assert service.post("/v1/translate/tiny", body, headers=headers).body == Path(str(expected)).read_bytes()

    # A model that fills holes fills the white parts.
    with running(tiny.filler(tmp_path / "filler.onnx")) as here:
        filled = decode_image(here.post("/v1/translate/filler", body, headers=headers).body).pixels
    assert (filled == np.where(mask >= 128, 127, pixels)).all()

    # Several: each image has the mask of its name.
    files = [("f", "a.png", source), ("f", "b.png", source), ("f", "c.png", source)]
    body, headers = form(*files, ("mask", "x/b.bmp", black), ("mask", "a.png", encoded(mask)))
    with running(models / "tiny.onnx", max_files=8) as here:
        answer = here.post("/v1/translate/tiny", body, headers=headers)
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert (decode_image(archive.read("b.png")).pixels == pixels).all()
        assert archive.read("a.png") == Path(str(expected)).read_bytes()
        (problem,) = json.loads(archive.read("problems.json"))
    assert problem["detail"] == "c.png: no mask of this name; expected one for each image, with any extension"


@pytest.mark.parametrize(("first", "second"), [("a.bmp", "a.png"), ("x/a.png", "y/a.png")])
@pytest.mark.parametrize("suffix", ["", ".tif"])
def test_masks_are_paired_by_the_names_under_which_files_are_sent(
    service: Running, first: str, second: str, suffix: str
) -> None:
    pixels = picture()
    white, black = (encoded(np.full((24, 32, 1), level, np.uint8)) for level in (255, 0))
    masks = [Path(name).with_suffix(suffix or Path(name).suffix).as_posix() for name in (first, second)]
    body, headers = form(
        ("f", first, encoded(pixels)), ("f", second, encoded(pixels)), ("mask", masks[1], black),
        ("mask", masks[0], white),
    )  # fmt: skip
    answer = service.post("/v1/translate/tiny", body, headers=headers)
    if masks[0] == masks[1]:
        assert answer.status == 422
        assert answer.json["problems"][1]["detail"] == (
            "a.png: several masks of this name: a.tif, a.tif; expected one: send one for each name"
        )
        return
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        one, other = (decode_image(archive.read(name)).pixels for name in archive.namelist())
    assert (one == 255 - pixels).all()
    assert (other == pixels).all()


@pytest.mark.parametrize(
    ("mask", "status", "detail"),
    [
        (encoded(picture(9, 9)), 422, "m.png: the mask has 9 x 9 pixels, and its image 32 x 24"),
        (b"no picture", 415, "m.png: not an image of a known format"),
        (encoded(picture(40, 32000, 1)), 413, "m.png: 32000 x 40 is 1,280,000 pixels"),
    ],
)
def test_a_mask_that_does_not_fit(service: Running, mask: bytes, status: int, detail: str) -> None:
    body, headers = form(("image", "a.png", PNG), ("mask", "m.png", mask))
    answer = service.post("/v1/translate/tiny", body, headers=headers)
    assert (answer.status, answer.detail[: len(detail)]) == (status, detail)


def test_a_form_may_contain_the_parameters(service: Running) -> None:
    body, headers = form(("to", None, b"shine"), ("file", "a.png", encoded(picture() // 2)))
    answer = service.post("/v1/translate/weather", body, headers=headers)
    assert (decode_image(answer.body).pixels == picture() // 2 + 30).all()


def test_several_files_come_back_as_an_archive_that_names_failures(service: Running) -> None:
    jpeg, png = encoded(picture(seed=1), "JPEG"), encoded(picture(seed=2))
    body, headers = form(
        ("f", "../../up/a.jpg", jpeg), ("f", "a.jpg", jpeg), ("f", "b.png", png), ("f", "broken.png", png[:60])
    )
    answer = service.post("/v1/translate/tiny", body, headers=headers)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/zip")
    archive = zipfile.ZipFile(io.BytesIO(answer.body))
    assert archive.namelist() == ["a.jpg", "a-2.jpg", "b.png", "problems.json"]
    assert archive.read("a.jpg") == service.translate(jpeg).body
    assert archive.read("b.png") == service.translate(png).body
    (problem,) = json.loads(archive.read("problems.json"))
    assert (problem["file"], problem["status"], answer.headers["i2i-failed"]) == ("broken.png", 422, "1")
    assert problem["detail"].startswith("broken.png: damaged PNG")


def test_an_archive_without_a_result_is_a_problem(service: Running) -> None:
    body, headers = form(("f", "a.png", b"x"), ("f", "b.png", b"y"))
    answer = service.post("/v1/translate/tiny", body, headers=headers)
    assert answer.status == 422
    assert [each["status"] for each in answer.json["problems"]] == [415, 415]


PNG = encoded(picture())
BOMB = encode_image(Image(np.zeros((1001, 1000, 3), np.uint8)), "PNG")
BAD = [
    ("tiny", "?fromat=png", PNG, 400, "no parameter 'fromat' (did you mean format?)"),
    ("tiny", "?format=mp3", PNG, 400, "cannot write MP3 files; choose one of"),
    ("tiny", "?quality=101", PNG, 400, "quality is 101; expected 0 to 100"),
    ("tiny", "?quality=high", PNG, 400, "quality is 'high'; expected a whole number"),
    ("tiny", "?seed=1", PNG, 400, "has no styles"),
    ("styled", "?seed=4294967296", PNG, 400, "4294967296"),
    ("tiny", "?to=winter", PNG, 400, "does not translate to 'winter'; it translates to negative"),
    ("tiny", "?background=pink", PNG, 400, "background is pink"),
    ("tiny", "?keep_metadata=maybe", PNG, 400, "expected true or false"),
    ("weather", "", PNG, 400, "a domain is missing: choose one of cloudy, rain, shine"),
    ("other", "", PNG, 404, "no model 'other'; loaded are board, deep, faces, styled, tiny, weather"),
    ("../tiny", "", PNG, 404, "nothing at this address"),
    ("tiny", "", BOMB, 413, "1000 x 1001 is 1,001,000 pixels, more than the limit of 1,000,000"),
    ("tiny", "", b"\0" * 4_000_001, 413, "larger than the limit of 4000000 bytes"),
    ("tiny", "", b"", 415, "the file is empty"),
    ("tiny", "", b"{}", 415, "not an image of a known format"),
    ("tiny", "", b"<!doctype html><p>", 415, "this is HTML, XML or SVG text, not an image"),
    ("tiny", "", b"%PDF-1.7", 415, "PDF files are not supported"),
    ("tiny", "", PNG[: len(PNG) // 2], 422, "damaged PNG"),
    ("board", "", encoded(np.full((8, 8, 3), 255, np.uint8)), 422, "non-finite output"),
]


@pytest.mark.parametrize(("model", "query", "data", "status", "detail"), BAD)
def test_each_error_has_its_status_and_sentence(
    service: Running, models: Path, model: str, query: str, data: bytes, status: int, detail: str
) -> None:
    answer = service.post(f"/v1/translate/{model}{query}", data)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert set(answer.json) >= {"type", "title", "status", "detail"}
    assert answer.json["status"] == status
    assert detail in answer.detail
    assert str(models) not in answer.detail  # which is of no concern to clients


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/v1/translate/tiny", {}, None, 405),
        ("GET", "/nothing", {}, None, 404),
        ("GET", "/page/../app.py", {}, None, 404),
        ("POST", "/v1/translate/tiny", {"Content-Encoding": "gzip"}, PNG, 415),
        ("POST", "/v1/translate/tiny", {"Accept": "text/html"}, PNG, 406),
        ("POST", "/v1/translate/tiny", {"Content-Type": "multipart/form-data"}, PNG, 400),
        ("POST", "/v1/translate/tiny", {"Content-Type": "multipart/form-data; boundary=b"}, PNG, 400),
        ("POST", "/v1/translate/tiny", {"Origin": "http://elsewhere.example"}, PNG, 403),
        ("POST", "/v1/translate/tiny", {"Host": "elsewhere.example"}, PNG, 403),
    ],
)
def test_requests_that_are_none_of_ours(
    service: Running, method: str, path: str, headers: dict[str, str], body: bytes | None, status: int
) -> None:
    answer = service.get(path, headers=headers) if method == "GET" else service.post(path, body, headers=headers)
    assert answer.status == status
    assert answer.json["status"] == status
    assert "access-control-allow-origin" not in answer.headers


def test_more_files_than_the_limit(service: Running) -> None:
    body, headers = form(*[("f", f"{number}.png", PNG) for number in range(5)])
    assert service.post("/v1/translate/tiny", body, headers=headers).status == 413


def test_a_style_that_is_refused(service: Running) -> None:
    def send(model: str, style: bytes, *more: tuple[str, str | None, bytes]) -> tuple[int, str]:
        body, headers = form(("f", "a.png", PNG), ("style", "s.png", style), *more)
        answer = service.post(f"/v1/translate/{model}", body, headers=headers)
        return answer.status, answer.detail

    for model, style, status, detail in [
        ("tiny", b"not decoded", 400, "has no styles"),
        ("styled", BOMB, 413, "s.png: 1000 x 1001 is 1,001,000 pixels"),
        ("styled", b"{}", 415, "s.png: not an image of a known format"),
        ("styled", PNG[: len(PNG) // 2], 422, "s.png: damaged PNG"),
    ]:
        found = send(model, style)
        assert (found[0], detail in found[1]) == (status, True), found
    found = send("styled", PNG, ("seed", None, b"1"))
    assert (found[0], "a style and a seed" in found[1]) == (400, True)


def test_a_form_without_a_file(service: Running) -> None:
    body, headers = form(("to", None, b"rain"))
    answer = service.post("/v1/translate/weather", body, headers=headers)
    assert (answer.status, "no file" in answer.detail) == (400, True)


def test_the_sentence_is_that_of_the_command_line(service: Running, models: Path, tmp_path: Path, i2i_inside) -> None:
    (tmp_path / "image").write_bytes(PNG[: len(PNG) // 2])
    done = i2i_inside("translate", tmp_path / "image", tmp_path / "out.png", "-m", models / "tiny.onnx")
    detail = service.translate(PNG[: len(PNG) // 2]).detail
    assert done.stderr.splitlines()[-1] == f"failed: {tmp_path}/{detail}"


def test_every_hard_image_gets_a_result_or_a_reason(service: Running, models: Path, reference) -> None:
    """The same files that a folder job is tested with: each is translated as there, or refused with its sentence."""
    model, seen = i2i.load(models / "tiny.onnx", "cpu"), set()
    for path in sorted(reference("data/hard_images").rglob("*")):
        if not path.is_file() or path.suffix in (".md", ".csv", ".json") or path.stat().st_size > 50_000:
            continue
        data = path.read_bytes()
        answer = service.translate(data)
        seen.add(answer.status)
        try:
            expected = translate_bytes(model, data, Options(max_pixels=1_000_000), "image")
        except i2i.I2IError as error:
            reason = str(error)
            assert answer.status in (413, 415, 422), (path, answer)
            assert reason.removeprefix("image: ") in answer.detail, path
            continue
        assert answer.status == 200, (path, answer.body)
        form_ = expected.format if expected.format in WRITABLE else "PNG"
        assert answer.body == encode_image(expected, form_), path
    assert seen >= {200, 415, 422}
