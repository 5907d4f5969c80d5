"""A published model has its file, its picture and a complete entry, where one of the same name stood."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PilImage

TOOLS = Path(__file__).resolve().parents[2] / "tools"
MODEL = TOOLS.parent / "weights" / "day2night.onnx"
FACTS: dict[str, Any] = {
    "licence": "Apache-2.0", "credit": "nobody", "about": "It does.", "data": "none", "command": "true", "seed": 3,
    "protocol": "one image", "metrics": {"all": {"result": {"l1": 0.5}, "input": {"l1": 1.0}}},
}  # fmt: skip


@pytest.fixture
def publishing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(TOOLS)
    return import_module("publishing")


def publish(publishing: Any, folder: Path, name: str, **facts: Any) -> dict[str, Any]:
    images = [[np.full((20, 30, 3), level, np.uint8) for level in (9, 200)]]
    return publishing.publish(MODEL, images, ["a", "b"], weights=folder, name=name, **(FACTS | facts))


def test_entries_keep_their_places(publishing: Any, tmp_path: Path) -> None:
    for name, seed in (("one", 1), ("two", 2), ("one", 4)):
        found = publish(publishing, tmp_path, name, seed=seed)
    entries = json.loads((tmp_path / "index.json").read_text())
    assert [(entry["name"], entry["seed"]) for entry in entries] == [("one", 4), ("two", 2)]
    assert entries[0] == found
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("index.json", "one.jpg", "one.onnx", "two.jpg", "two.onnx")
    ]
    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert (found["sha256"], found["file"], found["picture"]) == (digest, "one.onnx", "one.jpg")
    # 371,851 weights, and the multiplications of its convolutions, as PyTorch counts them
    assert (found["parameters"], found["macs"]) == (371_851, 683_016_192)
    picture = np.asarray(PilImage.open(tmp_path / "one.jpg"))
    assert abs(int(picture[100, 50, 0]) - 9) < 3
    assert abs(int(picture[100, -50, 0]) - 200) < 3


def test_a_model_too_many_is_refused(publishing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "TOTAL", 2_000_000)
    publish(publishing, tmp_path, "one")
    publish(publishing, tmp_path, "one")  # its own earlier files do not count
    with pytest.raises(ValueError, match=r"^two: weights/ would have 3\d{6} bytes, at most 2000000$"):
        publish(publishing, tmp_path, "two")
    assert not (tmp_path / "two.onnx").exists()
