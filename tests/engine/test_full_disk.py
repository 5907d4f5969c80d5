"""A disk that is full while a run writes its files: the error names the file, and nothing half-written stays."""

import errno
import io
import sys
import threading
import warnings
from contextlib import contextmanager, suppress

import numpy as np
import pytest
import torch
from torch import nn

from i2i.atomic import atomically
from i2i.engine.distributed import World
from i2i.engine.log_file import append
from i2i.engine.report import Reporter
from i2i.engine.run_folder import Run
from i2i.engine.settings import Settings
from i2i.engine.weights import save_network
from i2i.spec import Domain, Spec

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")


@contextmanager
def largest_file(size):
    """Limit files to ``size`` bytes: as on a full disk, the bytes that fit are written and the rest fails."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def fails(size, path, write):
    with largest_file(size), pytest.raises(OSError, match="File too large") as error:
        write()
    assert (error.value.errno, error.value.filename) == (errno.EFBIG, str(path))
    assert not [left for left in path.parent.iterdir() if left.name != "run.json"]


@pytest.mark.parametrize("size", [0, 100, 20_000, 400_000])
def test_a_state_that_does_not_fit_is_an_os_error_that_names_it(tmp_path, size):
    run = Run(tmp_path / "run", Settings("pix2pix"), {}, {})
    state = {"a": torch.randn(50_000), "b": torch.randn(50_000)}
    fails(size, tmp_path / "run" / "state" / "000000004.pt", lambda: run.save_state(4, state))
    run.save_state(4, state)
    assert torch.equal(run.newest_state()["b"], state["b"])


def test_weights_that_do_not_fit_are_an_os_error_that_names_them(tmp_path):
    spec = Spec("pix2pix", "a2b", Domain("a"), Domain("b"))
    path = tmp_path / "weights" / "a2b.safetensors"
    fails(1000, path, lambda: save_network(tmp_path, nn.Linear(64, 64), spec, "a2b"))


def test_a_description_that_does_not_fit_is_an_os_error_that_names_it(tmp_path):
    run = Run(tmp_path / "run", Settings("pix2pix"), {}, {})
    run.write(status="running", step=1)
    before = (tmp_path / "run" / "run.json").read_text()
    fails(100, tmp_path / "run" / "run.json", lambda: run.write(step=2))
    assert (tmp_path / "run" / "run.json").read_text() == before


def test_an_error_that_names_its_file_keeps_the_name(tmp_path):
    def write(temporary):
        raise OSError(errno.ENOSPC, "No space left on device", "elsewhere")

    with pytest.raises(OSError, match="elsewhere"):
        atomically(tmp_path / "file", write)


def test_a_log_line_that_does_not_fit_leaves_no_part_of_it(tmp_path):
    log = tmp_path / "log.jsonl"
    append(log, '{"step": 1}\n')
    with largest_file(20), pytest.raises(OSError, match="File too large"):
        append(log, '{"step": 2, "rate": 1.0}\n')
    append(log, '{"step": 3}\n')
    assert log.read_text() == '{"step": 1}\n{"step": 3}\n'


def test_tensorboard_on_a_full_disk_is_one_warning_and_no_traceback(tmp_path, capsys):
    before = threading.excepthook
    with warnings.catch_warnings(record=True) as seen, Reporter(tmp_path, 0, 9, 1, World(), quiet=True) as reporter:
        warnings.simplefilter("always")
        with largest_file(1000):
            for step in range(1, 6):
                reporter.picture(lambda: np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8), step)
                with suppress(OSError):
                    reporter.board.flush()  # waits for TensorBoard's thread
    messages = {str(warning.message) for warning in seen}
    assert messages == {f"{tmp_path / 'tensorboard'} cannot be written ([Errno 27] File too large); training goes on"}
    assert "Traceback" not in capsys.readouterr().err
    assert threading.excepthook is before


def test_a_full_disk_under_standard_error_does_not_end_a_run(tmp_path, monkeypatch):
    if sys.platform != "linux":
        pytest.skip("needs /dev/full")
    with open("/dev/full", "wb", buffering=0) as full, Reporter(tmp_path, 0, 9, 1, World(), quiet=False) as reporter:
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(full, write_through=True))
        reporter.say("x" * 100_000)
        reporter.figures(1, 1.0, {"G/l1": 0.5})
    assert (tmp_path / "log.jsonl").read_text().count("\n") == 1
