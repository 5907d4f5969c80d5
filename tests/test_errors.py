"""Errors of the public API: one base class, and a type that apps can catch."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import i2i


def test_one_base_class() -> None:
    errors = {name: getattr(i2i, name) for name in i2i.__all__ if name.endswith("Error")}
    assert set(errors) == {
        "DataError", "ExportError", "I2IError", "ImageError", "ModelError", "ProviderError", "VideoError",
    }  # fmt: skip
    assert all(issubclass(error, i2i.I2IError) for error in errors.values())
    assert issubclass(i2i.I2IError, ValueError)


def _image(folder: Path, name: str = "a.png") -> Path:
    cv2.imwrite(str(folder / name), np.zeros((8, 8, 3), np.uint8))
    return folder / name


def test_each_kind_of_bad_input_has_its_type(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no model")
    (tmp_path / "no.png").write_bytes(b"\x89PNG\r\n\x1a\n no image")
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(i2i.ModelError):
        i2i.load(tmp_path / "no.onnx")
    with pytest.raises(i2i.ImageError):
        i2i.translate(tmp_path / "no.png")
    with pytest.raises(i2i.VideoError):
        i2i.translate(tmp_path / "no.mp4")
    with pytest.raises(i2i.ProviderError):
        i2i.translate(_image(tmp_path), provider="cuda")
    with pytest.raises(i2i.DataError):
        i2i.train("cyclegan", a=tmp_path, b=tmp_path / "nowhere")


def test_the_package_is_typed() -> None:
    assert (Path(i2i.__file__).parent / "py.typed").is_file()
