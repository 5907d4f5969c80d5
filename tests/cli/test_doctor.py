"""Installations in which packages overwrote each other."""

from __future__ import annotations

import sys
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from click.testing import CliRunner

from i2i.cli import doctor
from i2i.runtime.system import host, packages
from tests.conftest import Command


def installed(site: Path, *names: str) -> None:
    for name in names:
        folder = site / f"{name.replace('-', '_')}-1.30.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.30.0\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of packages that is searched."""
    real = packages._distributions
    monkeypatch.setattr(packages, "_distributions", lambda _: real([str(tmp_path)]))
    return tmp_path


def test_installed_packages_agree_with_importlib_metadata() -> None:
    for module in packages.RIVALS:
        for name in packages.RIVALS[module]:
            try:
                version = metadata.version(name)
            except metadata.PackageNotFoundError:
                version = None
            assert packages.installed(module).get(name) == version
    assert packages.installed("onnxruntime")
    assert packages.installed("cv2")


def test_one_package_of_each_kind_is_no_problem(site: Path) -> None:
    installed(site, "onnxruntime-gpu", "opencv-python-headless")
    assert packages.rivals() == []
    assert packages.shells() == []


def test_rival_packages_are_reported_with_the_repair(site: Path) -> None:
    installed(site, "onnxruntime", "onnxruntime-gpu", "opencv-python", "opencv-python-headless")
    ort, opencv = packages.rivals()
    assert "pip uninstall -y onnxruntime-gpu onnxruntime && pip install onnxruntime-gpu==1.30.0" in ort
    assert (
        "pip uninstall -y opencv-python-headless opencv-python && pip install opencv-python-headless==1.30.0" in opencv
    )
    result = CliRunner().invoke(doctor.command, ["--provider", "cpu"])
    assert result.exit_code == 1
    assert result.output.count("overwrite each other. Repair: pip") == 2


def test_an_empty_package_is_reported(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(site, "onnxruntime-gpu")
    (tmp_path / "onnxruntime" / "capi").mkdir(parents=True)
    shell = ModuleSpec("onnxruntime", None, is_package=True)
    shell.submodule_search_locations = [str(tmp_path / "onnxruntime")]
    real = packages.util.find_spec
    monkeypatch.setattr(packages.util, "find_spec", lambda name: shell if name == "onnxruntime" else real(name))
    assert packages.shells() == [
        "onnxruntime is an empty shell, as uninstalling one of two rival packages leaves it. Repair: "
        "pip install --force-reinstall --no-deps onnxruntime-gpu"
    ]


def test_commands_warn_once_of_rivals(tmp_path: Path, i2i_command: Command) -> None:
    installed(tmp_path / "site", "onnxruntime", "onnxruntime-gpu")
    from tests.conftest import ROOT

    env = {"PYTHONPATH": f"{ROOT}:{tmp_path / 'site'}"}
    done = i2i_command("translate", tmp_path / "nowhere", env=env)
    assert done.returncode == 2
    assert done.stderr.count("are both installed and overwrite each other") == 1


def test_a_card_that_is_not_used_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    from i2i.runtime import selftest

    monkeypatch.setattr(host, "cuda_devices", lambda: ["NVIDIA Test"])
    monkeypatch.setattr(selftest, "run", lambda provider: ("cpu", 0.1))
    result = CliRunner().invoke(doctor.command, [])
    assert result.exit_code == 1
    assert "there is a GPU, and ONNX Runtime runs on the CPU" in result.output


def test_doctor_reports_which_providers_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "cuda_devices", list)
    result = CliRunner().invoke(doctor.command, ["--provider", "cpu"])
    assert "self-test        asked for cpu, ran on cpu: passed in" in result.output
    assert "GPU              none found by the NVIDIA driver" in result.output


def test_each_provider_is_listed_with_the_reason_where_it_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here no card is there, and OpenVINO is taken away; neither is a fault unless it is asked for."""

    monkeypatch.setattr(host, "cuda_devices", list)
    monkeypatch.setitem(sys.modules, "openvino", None)
    result = CliRunner().invoke(doctor.command, [])
    assert result.exit_code == 0, result.output
    assert "cuda             does not run: provider cuda was asked for, but the NVIDIA driver" in result.output
    assert "tensorrt         does not run: provider tensorrt was asked for, but the NVIDIA driver" in result.output
    assert "openvino         does not run: provider openvino was asked for, but OpenVINO is not inst" in result.output
    assert 'Repair: pip install "i2i[openvino]"' in result.output
    assert "doctor" not in result.output
    result = CliRunner().invoke(doctor.command, ["--provider", "tensorrt"])
    assert result.exit_code == 4
    assert "problem          provider tensorrt was asked for" in result.output


def test_a_provider_that_runs_is_listed() -> None:
    pytest.importorskip("openvino")
    result = CliRunner().invoke(doctor.command, ["--provider", "cpu"])
    assert "openvino         runs: the self-test passed on openvino in" in result.output
