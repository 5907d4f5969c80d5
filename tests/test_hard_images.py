"""141 difficult files through ``i2i translate``: each is translated, or named with a reason."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from i2i.images import extend, read_image
from i2i.runtime.jobs.journal import JOURNAL
from i2i.runtime.jobs.options import output_name
from tests import tiny
from tests.conftest import ROOT

# Sound files of kinds that are not read, which must be named as such.
NOT_READ = {"bit16/10ct_32bit_128.tiff": "it has 1 channel of float32, and 8-bit RGB is expected"}


# A process begins with the peak of the one that it was forked from, up to its exec; so a small one stands in between.
MEASURE = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
with open(sys.argv[1], "w") as file:
    print(process.returncode, usage.ru_maxrss * 1024, file=file)
"""


def measured(command: list[str], report: Path, log: Path) -> tuple[int, int]:
    """Return the exit status and the peak memory of a command in bytes; its stderr goes to ``log``."""
    with open(log, "wb") as errors:
        words = [sys.executable, "-c", MEASURE, str(report), *command]
        subprocess.run(words, cwd=ROOT, stderr=errors, check=True)
    status, peak = map(int, report.read_text().split())
    return status, peak


class Job:
    """One run of the command over all files, and its results."""

    def __init__(self, source: Path, target: Path, model: Path) -> None:
        command = [sys.executable, "-m", "i2i", "translate", str(source), str(target), "-m", str(model)]
        self.source, self.target = source, target
        log = target.with_suffix(".log")
        self.exit_status, self.peak = measured(command, target.with_suffix(".peak"), log)
        self.errors = log.read_text()
        self.files = [
            path.relative_to(source)
            for path in sorted(source.rglob("*"))
            if path.is_file() and path.suffix not in (".md", ".csv")
        ]

    def output(self, file: str | Path) -> Path:
        return self.target / Path(file).parent / output_name(Path(file))

    def both(self, file: str) -> tuple[np.ndarray, np.ndarray]:
        """The pixels of a source and of its translation."""
        return read_image(self.source / file).pixels, read_image(self.output(file)).pixels


@pytest.fixture(scope="module")
def job(reference: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("hard")
    return Job(reference("data/hard_images"), folder / "out", tiny.inverter(folder / "invert.onnx"))


def test_the_memory_of_a_command_is_its_own(tmp_path: Path) -> None:
    held = np.ones(300 << 20, np.uint8)
    status, peak = measured([sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "peak", tmp_path / "log")
    assert status == 3
    assert 1 << 20 < peak < held.nbytes / 2


def test_every_file_is_translated_or_named_with_a_reason(job: Job) -> None:
    assert len(job.files) == 141
    for file in job.files:
        reason = f"failed: {job.source / file}: "
        assert job.output(file).exists() != (reason in job.errors), file
    written = {path.relative_to(job.target) for path in job.target.rglob("*") if path.is_file()} - {Path(JOURNAL)}
    assert len(written) + job.errors.count("failed: ") == 141
    assert "Traceback" not in job.errors


def test_a_note_names_animations_and_pages_that_give_their_first(job: Job) -> None:
    notes = [line for line in job.errors.splitlines() if "frames or pages after the first" in line]
    for name in ("animated/chi.gif", "animated/basic_f20.png", "tiff_other/multipage.tiff"):
        assert sum(str(job.source / name) in note for note in notes) == 1


def test_exit_status_and_memory(job: Job) -> None:
    assert job.exit_status == 1
    assert job.peak < 1 << 30


def test_files_that_other_programs_open_are_translated_and_damaged_ones_are_not(job: Job) -> None:
    with open(job.source / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = row["file"]
        if name in NOT_READ:
            line = next(line for line in job.errors.splitlines() if name in line)
            assert NOT_READ[name] in line
        elif row["category"] not in ("corrupt", "bomb"):
            assert job.output(name).exists(), name
        elif row["pillow_result"] == "bomb" or row["file"] in (
            "corrupt/truncated_jpeg.jpg",
            "corrupt/truncated_image.png",
        ):
            assert not job.output(name).exists(), name


def test_every_translation_has_the_size_of_its_source_and_the_right_pixels(job: Job) -> None:
    exact = 0
    for file in job.files:
        if not job.output(file).exists():
            continue
        source, result = read_image(job.source / file), read_image(job.output(file))
        assert (result.pixels.shape[:2], result.bits) == (source.pixels.shape[:2], source.bits), file
        if result.alpha is None:  # WebP does not store an alpha that is opaque throughout
            assert source.alpha is None or (source.format == "WEBP" and int(source.alpha.min()) == 255), file
        else:
            np.testing.assert_array_equal(result.alpha, source.alpha, err_msg=str(file))
        lossless = result.format not in ("JPEG", "WEBP")
        if lossless and source.bits == 8 and source.alpha is None:
            np.testing.assert_array_equal(result.pixels, 255 - source.pixels, err_msg=str(file))
            exact += 1
    assert exact > 30


def test_orientation_survives(job: Job) -> None:
    """Eight files of one scene, each stored turned another way: four upright shapes agree, and so do their pictures."""
    upright = [job.both(f"exif_orientation/rotation_{number}.jpg") for number in range(1, 9)]
    for source, result in upright:
        assert source.shape == result.shape
        assert float(np.abs(result.astype(int) - (255 - source.astype(int))).mean()) < 6  # JPEG, of an image with noise
    small = [np.array([r[: h // 2].mean(), r[h // 2 :].mean()]) for _, r in upright for h in [r.shape[0]]]
    assert np.ptp(np.array(small[:4]), axis=0).max() < 3
    assert np.ptp(np.array(small[4:]), axis=0).max() < 3


def test_alpha_survives(job: Job) -> None:
    name = "palette_transparency/transparent.png"
    source, result = read_image(job.source / name), read_image(job.output(name))
    assert 0 in source.alpha
    np.testing.assert_array_equal(result.alpha, source.alpha)
    seen = extend(source.pixels, source.alpha)  # where nothing is visible, the colours beside it
    np.testing.assert_array_equal(result.pixels, 255 - seen)


def test_grey_survives(job: Job) -> None:
    source, result = job.both("gray/coins.png")
    assert result.shape[2] == 1
    np.testing.assert_array_equal(result, 255 - source)


def test_16_bits_survive(job: Job, tmp_path: Path) -> None:
    import i2i
    from i2i.runtime import Model

    model = Model(tiny.inverter(tmp_path / "deep.onnx", tiny.DEEP), "cpu")
    for name in ("bit16/basn2c16.png", "bit16/tiff_16bit_RGB.tiff", "bit16/monkey16.png"):
        output = i2i.translate(job.source / name, tmp_path / Path(name).name, model)
        source, result = read_image(job.source / name).pixels, read_image(output).pixels
        assert source.dtype == result.dtype == np.uint16
        np.testing.assert_array_equal(result, 65535 - source)
        assert len(np.unique(result)) > 256 or "basn2c16" in name
