"""Fixtures for all tests."""

from __future__ import annotations

import functools
import gc
import io
import logging
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import i2i  # before any test imports ONNX Runtime, so that its usage reports are off

ROOT = Path(i2i.__file__).parent.parent
Command = Callable[..., "subprocess.CompletedProcess[str]"]

gc.disable()  # until all is imported and collected: that is here to stay, and never searched for garbage


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
    gc.set_threshold(700, 10, 100)  # full collections among what exports leave take 0.2 s each


def pytest_unconfigure() -> None:
    gc.unfreeze()  # or libraries of PyTorch report all they have as leaked


# These take 2 to 15 seconds each, most of them to train or to export: first, so that no process is left with one when
# the others are done.
LONGEST = (
    *("exporter/test_export", "exporter/test_domains", "translators/test_conformance", "engine/test_validation"),
    *("engine/test_killed", "production/test_javascript", "cli/test_main", "engine/test_resume"),
    *("engine/test_processes", "engine/test_training", "cli/test_domains", "cli/test_streams"),
    *("runtime/jobs/test_remote", "runtime/jobs/test_ray", "test_scale", "cli/test_signals"),
    *("runtime/jobs/test_watcher", "runtime/video/test_reference", "runtime/adapters/test_reference"),
    *("runtime/jobs/test_oversized", "engine/test_finetune", "exporter/test_precision", "exporter/test_runs"),
    *("runtime/providers/test_openvino", "reporting/test_report", "runtime/video/test_interleaving"),
    *("images/large/test_reader", "runtime/video/frame/test_timestamps", "runtime/video/temporal/test_smoothing"),
    *("runtime/providers/test_card_memory", "runtime/video/test_ending", "importer/test_runs"),
    *("test_extending", "test_readme"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"tests.{name.replace('/', '.')}": number for number, name in enumerate(LONGEST)}
    assert all((Path(__file__).parent / f"{name}.py").exists() for name in (*LONGEST, *EXPORTING)), (
        "a module was renamed"
    )
    items.sort(key=lambda item: order.get(item.module.__name__, len(order)))  # type: ignore[attr-defined]


# The first export of a process takes three seconds longer than the next.
EXPORTING = (
    *("exporter/test_export", "exporter/test_domains", "exporter/test_precision", "exporter/test_runs"),
    *("importer/test_runs", "cli/test_domains", "test_extending", "test_readme"),
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give all modules that export to one of two workers. Among more of them it would be the last to end."""
    if config.getvalue("dist") != "loadscope" or len(config.getvalue("tx")) != 2:
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Exporting(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            scope = super()._split_scope(nodeid)
            return "exporting" if scope in {f"tests/{name}.py" for name in EXPORTING} else scope

    return Exporting(config, log)


@pytest.fixture(autouse=True)
def _same_draws_each_time(request: pytest.FixtureRequest) -> None:
    """Seed the random generators, so that a test draws the same numbers each time, alone or among others."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


@pytest.fixture(scope="session", autouse=True)
def _exports_are_quick() -> Iterator[None]:
    """PyTorch logs each step of an export, which pytest would keep, and parses all its operators for each again."""
    logging.getLogger("torch.__trace").propagate = False
    if "i2i.exporter" not in sys.modules:
        yield
        return
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_waits_for_the_disk() -> Iterator[None]:
    """Let ``os.fsync`` return at once: it takes milliseconds, and matters only if the power fails.

    ``test_atomic.py`` tests that it is called.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses a closed file as well
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache folder out of the tests, and theirs out of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("I2I_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def reference() -> Callable[[str], Path]:
    """Find reference data by its path under ``$I2I_TEST_DATA`` (``data/...``, ``oracles/...``), or skip the test."""
    root = os.environ.get("I2I_TEST_DATA")

    def find(relative: str) -> Path:
        if not root:
            pytest.skip("I2I_TEST_DATA is not set to the folder of reference data")
        path = Path(root) / relative
        if not path.exists():
            pytest.skip(f"no {relative} in I2I_TEST_DATA={root}")
        return path

    return find


@pytest.fixture(scope="session")
def i2i_command() -> Command:
    """Run ``i2i ARGUMENTS`` in a process of its own, from the sources, without a terminal."""

    def run(*arguments: object, env: dict[str, str] | None = None, **options: object) -> subprocess.CompletedProcess:
        full = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        if "preexec_fn" in options:  # where files may not be large, what Python compiles would be cut short, and stay
            full["PYTHONDONTWRITEBYTECODE"] = "1"
        settings: dict[str, object] = {"capture_output": True, "text": True, "timeout": 120, "cwd": "/"} | options
        words = [sys.executable, "-m", "i2i", *map(os.fspath, map(_text, arguments))]
        return subprocess.run(words, env=full, errors="surrogateescape", check=False, **settings)  # type: ignore[call-overload]

    return run


@pytest.fixture
def i2i_inside(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run ``i2i ARGUMENTS`` in this process, which is ten times as fast, for tests that do not concern processes."""
    from i2i import cli

    def run(
        *arguments: object,
        env: dict[str, str] | None = None,
        cwd: str | Path = "/",
        data: bytes = b"",
        text: bool = True,
    ) -> subprocess.CompletedProcess:
        words = [os.fsdecode(_text(value)) for value in arguments]
        capfdbinary.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            patch.setattr(cli, "_own_process", False)  # is put back: ``main`` takes the process for its own
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                cli.main(words)
        said = capfdbinary.readouterr()
        out, err = (part.decode(errors="surrogateescape") if text else part for part in (said.out, said.err))
        return subprocess.CompletedProcess(words, end.value.code, out, err)  # type: ignore[arg-type]

    return run


def _text(value: object) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)


@pytest.fixture
def graph_of_a_resnet(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Export a ResNet of one block and ``ngf`` 4 by putting its weights into the graph of another one.

    For tests of all that surrounds PyTorch's exporter, which takes three seconds for this network;
    ``exporter/test_export.py`` tests it. The parity of the file is measured all the same.
    """
    pytest.importorskip("torch")
    from tests.exporter.conftest import all_exports, with_weights

    path, _, _ = all_exports(tmp_path_factory)["resnet"]
    monkeypatch.setattr("i2i.exporter.onnx_graph.to_onnx", functools.partial(with_weights, path))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: the same arithmetic in every process, and far less waiting in networks this small."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
