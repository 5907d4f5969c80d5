"""The cache of compiled models: its entries, and that nothing else is taken for one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from i2i.runtime.providers import engine_cache


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"first")
    return path


def test_a_name_depends_on_everything_that_decides_the_result(model: Path) -> None:
    place = engine_cache.place(model, "openvino", "2026.4", "f32")
    assert place.parent == model.with_name("m.onnx.cache")
    assert place == engine_cache.place(model, "openvino", "2026.4", "f32")
    others = [
        engine_cache.place(model, "tensorrt", "2026.4", "f32"),
        engine_cache.place(model, "openvino", "2026.5", "f32"),
    ]
    model.write_bytes(b"other")
    others.append(engine_cache.place(model, "openvino", "2026.4", "f32"))
    assert len({place, *others}) == 4


def test_a_bit_that_changed_is_noticed(model: Path) -> None:
    place = engine_cache.place(model, "openvino")
    assert engine_cache.read(place) is None
    engine_cache.write(place, b"compiled")
    assert bytes(engine_cache.read(place) or b"") == b"compiled"
    data = bytearray(place.read_bytes())
    data[-3] ^= 1
    place.write_bytes(data)
    assert engine_cache.read(place) is None
    place.write_bytes(b"")
    assert engine_cache.read(place) is None


def test_another_process_may_be_done_at_the_same_time(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Just before the folder gets its name: the other's is kept, and is what the next start takes."""
    place, real = engine_cache.place(model, "tensorrt"), os.rename

    def build(content: str) -> None:
        with engine_cache.building(place) as part:
            assert part is not None
            (part / "m.engine").write_text(content)

    def rename(part: Path, name: Path) -> None:
        monkeypatch.setattr(os, "rename", real)
        build("the other's")
        real(part, name)

    monkeypatch.setattr(os, "rename", rename)
    build("mine")
    assert engine_cache.is_whole(place)
    assert (place / "m.engine").read_text() == "the other's"
    assert list(place.parent.iterdir()) == [place]
    assert not caplog.messages


def test_a_folder_that_cannot_be_renamed_is_deleted_with_a_note(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def rename(part: Path, name: Path) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    place = engine_cache.place(model, "tensorrt")
    monkeypatch.setattr(os, "rename", rename)
    with engine_cache.building(place) as part:
        assert part is not None
        (part / "m.engine").write_text("whole")
    assert list(place.parent.iterdir()) == []
    (said,) = caplog.messages
    assert said.endswith("Permission denied; the compiled model is not kept, and is compiled again at each start")


def test_only_results_of_the_same_settings_and_earlier_contents_are_deleted(model: Path) -> None:
    mine, engine = engine_cache.place(model, "openvino", "cpu"), engine_cache.place(model, "tensorrt", "card")
    elsewhere = engine_cache.place(model, "openvino", "another processor")
    engine_cache.write(mine, b"1")
    engine_cache.write(elsewhere, b"2")
    engine.mkdir()
    (engine / "m.engine").write_bytes(b"3")
    model.write_bytes(b"other")
    new, built = engine_cache.place(model, "openvino", "cpu"), engine_cache.place(model, "tensorrt", "card")
    engine_cache.write(new, b"4")
    assert set(new.parent.iterdir()) == {new, elsewhere, engine}
    built.mkdir()
    engine_cache.outdated(built)
    assert set(new.parent.iterdir()) == {new, elsewhere, built}
