"""The commands and programs of docs/serving.md run, and the Dockerfile is what it says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import av
import click
import numpy as np
import pytest

from i2i.cli import group
from i2i.images import Image, read_image, write_image
from tests.conftest import ROOT
from tests.production.conftest import needed
from tests.serving.conftest import picture, running

TEXT = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
CURL = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines() if "curl" in line]
(PROGRAM,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_the_commands_and_the_program_run(tmp_path: Path) -> None:
    needed("curl", shutil.which("curl"), "install curl")
    pytest.importorskip("tritonclient.http")
    for name in ("photo.jpg", "scan.tif"):
        write_image(tmp_path / name, Image(picture(64, 96)))
    write_image(tmp_path / "mask.png", Image(np.zeros((64, 96, 1), np.uint8)))
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("h264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(48, 64), "rgb24")))
        container.mux(stream.encode(None))
    with running("day2night") as here:

        def here_and_now(text: str) -> str:
            assert "localhost:8080" in text
            return text.replace("localhost:8080", f"localhost:{here.port}")

        assert len(CURL) == 6
        for line in CURL:
            done = subprocess.run(here_and_now(line), shell=True, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, (line, done.stderr)
        assert json.loads(done.stdout)["state"] == "queued"
        formats = {name: read_image(tmp_path / name).format for name in ("night.jpg", "night.png", "night.webp")}
        assert formats == {"night.jpg": "JPEG", "night.png": "PNG", "night.webp": "WEBP"}
        assert zipfile.ZipFile(tmp_path / "results.zip").namelist() == ["photo.jpg", "scan.tif"]
        names: dict[str, object] = {}
        exec(here_and_now(PROGRAM), names)
        assert isinstance(names["translated"], np.ndarray)
        names["client"].close()  # type: ignore[attr-defined]


def test_the_statuses_that_are_raised_are_listed() -> None:
    source = "".join(path.read_text() for path in (ROOT / "i2i" / "serving").rglob("*.py"))
    raised = set(re.findall(r"ProblemError\(\s*(\d{3})", source)) | set(re.findall(r"status=(\d{3})", source))
    (table,) = re.findall(r"^\| status \|.*?\n\n", TEXT, re.S | re.M)
    listed = set(re.findall(r"\b[45]\d\d\b", table))
    assert raised - {"409", "431", "500"} <= listed
    assert "429" in listed


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def test_the_dockerfile_copies_what_is_there_and_runs_a_command_that_exists() -> None:
    found = instructions()
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name, value in found:
        if name == "COPY" and "--from" not in value:
            for source in value.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in kept, source
    words = {name: value for name, value in found if name in ("ENTRYPOINT", "CMD")}
    called = [*json.loads(words["ENTRYPOINT"]), *json.loads(words["CMD"])]
    assert called[:2] == ["i2i", "serve"]
    command = group.get_command(click.Context(group), "serve")
    assert command is not None
    options, rest, _ = command.make_parser(click.Context(command)).parse_args(called[2:])
    assert (options["models"], options["host"], rest) == (("/models",), "0.0.0.0", [])


def test_the_container_has_an_unprivileged_user_and_no_shell_around_the_service() -> None:
    found = instructions()
    last = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    final = found[last:]
    assert [value for name, value in final if name == "USER"] == ["10001"]
    after = [name for name, _ in final[[name for name, _ in final].index("USER") :]]
    assert not {"RUN", "COPY", "ADD"} & set(after)  # nothing that would need rights
    assert not any(name == "ADD" or "://" in value.replace("http://127.0.0.1", "") for name, value in found)
    (health,) = [value for name, value in final if name == "HEALTHCHECK"]
    words = json.loads(health[health.index("[") :])
    compile(words[words.index("-c") + 1], "healthcheck", "exec")
    assert shlex.split(next(value for name, value in final if name == "STOPSIGNAL")) == ["SIGTERM"]


def test_images_need_no_writable_folder(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the container without its tmpfs."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    from tests.serving.conftest import encoded, form

    with running(models / "tiny.onnx") as here:
        large = encoded(picture(700, 700), "BMP")  # 1.5 MB, above what a form's parser keeps in memory by itself
        body, headers = form(("f", "a.bmp", large), ("f", "b.bmp", large))
        assert here.post("/v1/translate/tiny", body, headers=headers).status == 200
        assert not (tmp_path / "none").exists()
