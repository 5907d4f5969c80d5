"""The worked example of docs/formats.md adds a format in one file and one row; docs/images.md lists every format."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from i2i.images.formats.table import FORMATS
from tests import tiny
from tests.conftest import ROOT

TEXT = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
CODE, ROW = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PROGRAM = """
import sys
import numpy as np
import i2i
from i2i.cli import main
from i2i.images import IMAGE_SUFFIXES, WRITABLE, Image, decode_image, encode_image, losses, read_image, write_image
from i2i.images.encode import KEPT
from tests.images.samples import alpha_of, picture

folder, model = sys.argv[1:]
assert i2i.__file__.startswith(folder)
assert WRITABLE["FARBFELD"] == ".ff" and ".ff" in KEPT and ".ff" in IMAGE_SUFFIXES
for bits in (8, 16):
    for alpha in (None, alpha_of(bits=bits)):
        image = Image(picture(bits=bits), alpha)
        back = decode_image(encode_image(image, "FARBFELD"))
        scale = 257 if bits == 8 else 1
        np.testing.assert_array_equal(back.pixels, image.pixels.astype(int) * scale)
        np.testing.assert_array_equal(back.alpha, 65535 if alpha is None else alpha.astype(int) * scale)
assert losses(Image(picture(), icc=b"profile"), "FARBFELD") == ["colour profile"]
write_image(f"{folder}/in/a.ff", Image(picture()))
write_image(f"{folder}/in/b.png", Image(picture()))
for words in ([], ["--format", "farbfeld", "--overwrite"]):
    sys.argv = ["i2i", "translate", f"{folder}/in", f"{folder}/out", "-m", model, *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code
for name in ("a.ff", "b.ff"):
    result = read_image(f"{folder}/out/{name}")
    assert result.format == "FARBFELD"
    np.testing.assert_array_equal(result.pixels // 257, 255 - picture())
"""


def test_one_file_and_one_row_add_a_format(tmp_path: Path) -> None:
    model = tiny.inverter(tmp_path / "a.onnx")
    shutil.copytree(ROOT / "i2i", tmp_path / "i2i", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    (tmp_path / "in").mkdir()
    formats = tmp_path / "i2i" / "images" / "formats"
    (formats / "farbfeld.py").write_text(CODE, encoding="utf-8")
    table = (formats / "table.py").read_text(encoding="utf-8")
    head, brace, rest = table.partition("FORMATS: dict[str, Format] = {\n")
    assert brace
    assert len(ROW.strip().splitlines()) == 1
    (formats / "table.py").write_text(head + brace + ROW + rest, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(model)], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_it_is_short() -> None:
    assert len(CODE.splitlines()) < 40


def test_the_page_on_images_lists_what_every_format_holds() -> None:
    page = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
    table = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("|") and "`." in line]
    listed = {name.strip().replace(" ", "").upper(): cells for cells in table for name in cells[0].split(",")}
    assert set(listed) == {name.upper() for name, row in FORMATS.items() if row.module}
    for name, row in FORMATS.items():
        if not row.module:
            continue
        _, suffixes, *cells = [cell.strip() for cell in listed[name.upper()]]
        assert set(row.names) <= set(re.findall(r"\.\w+", suffixes)), name
        holds = row.holds
        held = () if holds is None else (
            holds.bits == 16, holds.alpha, holds.profile, holds.resolution, holds.exif > 0, holds.xmp > 0, holds.bands
        )  # fmt: skip
        want = ["as PNG", *[""] * 7] if holds is None else ["yes", *("yes" * value for value in held)]
        assert cells == want, name
