"""Requests that schemathesis makes of the OpenAPI document, valid and invalid ones: answers are as it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.conftest import Running, encoded, picture, wait_for

pytest.importorskip("schemathesis")


def test_answers_are_those_of_the_document(service: Running, tmp_path: Path) -> None:
    """Which domains and tensors a model takes is not in the document, so a request that fits it may be refused."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{service.port}/openapi.json"]
    command += ["--exclude-checks", "positive_data_acceptance", "--max-examples", "30", "--seed", "0", "--no-color"]
    command += ["--generation-database", "none", "--report", "json", "--report-json-path", str(report)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    found = json.loads(report.read_text())
    assert found["operations"]["tested"] == found["operations"]["total"] > 10
    assert found["test_cases"]["generated"] >= 300
    wait_for(lambda: service.metric("i2i_running") == 0)
    assert service.metric("i2i_body_bytes") == 0
    assert service.translate(encoded(picture())).status == 200
