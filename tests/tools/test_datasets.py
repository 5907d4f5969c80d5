"""``tools/datasets.py`` with packages of its own in the place of those in the registries."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

SOURCE = Path(__file__).resolve().parents[2] / "tools" / "datasets.py"
SPEC = importlib.util.spec_from_file_location("i2i_datasets", SOURCE)
assert SPEC is not None
assert SPEC.loader is not None
datasets: Any = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = datasets
SPEC.loader.exec_module(datasets)
SIDES = ("trainA", "trainB", "testA", "testB")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry with both packages of emoji: 60 images each, of which one has a skin tone."""
    shelf = tmp_path / "registry"
    packages = []
    for package, vendor, level in ((datasets.NOTO, "google", 50), (datasets.TWEMOJI, "twitter", 200)):
        images = shelf / vendor / "package" / "img" / vendor / "64"
        images.mkdir(parents=True)
        for number in range(60):
            name = f"1f{number:03x}{'-1f3fb' * (number == 7)}.png"
            cv2.imwrite(str(images / name), np.full((64, 64, 3), level + number % 50, np.uint8))
        archive = shelf / f"{package.name}-{package.version}.tgz"
        with tarfile.open(archive, "w:gz") as file:
            file.add(shelf / vendor / "package", "package")
        packages.append(replace(package, sha256=hashlib.sha256(archive.read_bytes()).hexdigest()))
    monkeypatch.setattr(datasets, "NOTO", packages[0])
    monkeypatch.setattr(datasets, "TWEMOJI", packages[1])

    def download(command: list[str], cwd: Path, **_options: Any) -> subprocess.CompletedProcess[str]:
        name = command[-1].replace("@", "-") + ".tgz"
        (cwd / name).write_bytes((shelf / name).read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(datasets.subprocess, "run", download)
    return shelf


def test_emoji_are_unpaired_in_training_and_pairs_in_the_test(registry: Path, tmp_path: Path) -> None:
    count = datasets.fetch("emoji", tmp_path / "out")
    names = {side: {path.name for path in (tmp_path / "out" / side).iterdir()} for side in SIDES}
    assert count == sum(map(len, names.values()))
    assert names["testA"] == names["testB"] != set()
    assert not names["trainA"] & names["trainB"]
    assert not names["testA"] & (names["trainA"] | names["trainB"])
    assert len(names["trainA"] | names["trainB"] | names["testA"]) == 59  # without the skin tone
    one = next(iter(names["testA"]))
    assert cv2.imread(str(tmp_path / "out" / "testA" / one)).max() < 100
    assert cv2.imread(str(tmp_path / "out" / "testB" / one)).min() >= 200
    credits = (tmp_path / "out" / "CREDITS.md").read_text()
    assert "Apache-2.0" in credits
    assert "CC BY 4.0" in credits


def test_another_content_leaves_nothing(registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "TWEMOJI", replace(datasets.TWEMOJI, sha256="0" * 64))
    with pytest.raises(datasets.DatasetError, match=r"twitter@16\.0\.0 has the hash .*; expected 000"):
        datasets.fetch("emoji", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["registry"]


def test_errors_name_the_package_or_its_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(datasets.DatasetError, match="exists already; give the name of a new folder"):
        datasets.fetch("emoji", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, client in (("emoji", "npm"), ("photos", "apt-get")):
        with pytest.raises(datasets.DatasetError, match=f"{client} is not installed"):
            datasets.fetch(name, tmp_path / "out")
    program = tmp_path / "npm"
    program.write_text("#!/bin/sh\necho nothing else >&2\necho the registry says no >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(datasets.DatasetError, match=r"npm pack .*: the registry says no"):
        datasets.fetch("emoji", tmp_path / "out")
