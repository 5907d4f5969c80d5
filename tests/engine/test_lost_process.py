"""A process that dies ends the others with its name, and the run goes on with another number of processes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from i2i.engine import load_generators, rendezvous, train
from tests.engine.test_processes import METHODS

ROOT = Path(__file__).parents[2]
FORKED = """
import json, os, signal, socket, sys, time, traceback
import torch
import torch.utils.tensorboard
from i2i.engine import pulse, train
from i2i.engine.train_state import TrainState

options, victim, number = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
plain, pulse.EVERY, pulse.SILENCE = TrainState.step, 0.5, 10.0

def step(self, batch, index, rate):
    if (self.world.rank, index) == (victim, 5):
        os.kill(os.getpid(), number)
    return plain(self, batch, index, rate)

TrainState.step = step
torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # imports much, before there are two processes
with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
children = []
for rank in range(2):
    pid = os.fork()
    children.append(pid)
    if not pid:
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
        try:
            train(**options, quiet=True)
        except BaseException:
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
statuses = [os.waitpid(pid, os.WUNTRACED)[1] for pid in children if victim < 0 or pid == children[victim]]
began = time.monotonic()
if victim >= 0:
    statuses.append(os.waitpid(children[1 - victim], 0)[1])
    if number == signal.SIGSTOP:
        os.kill(children[victim], signal.SIGKILL)
print(json.dumps({"seconds": time.monotonic() - began, "exit": os.waitstatus_to_exitcode(statuses[-1])}))
"""
"""Starts two processes as a cluster's scheduler does, without torchrun; the first one's contains their store."""


KILLS_ITSELF = """
import json, os, signal, sys
from i2i.engine import train
from i2i.engine.train_state import TrainState

options, victim, killed = json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
plain = TrainState.step

def step(self, batch, index, rate):
    if (self.world.rank, index) == (victim, 5) and not os.path.exists(killed):
        open(killed, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, batch, index, rate)

TrainState.step = step
train(**options)
"""


def two_processes(folder, options, victim=-1, number=0):
    """Train in two processes, of which the ``victim`` gets the signal ``number`` before its sixth step."""
    (folder / "forked.py").write_text(FORKED)
    command = [sys.executable, str(folder / "forked.py"), json.dumps(options), str(victim), str(int(number))]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def options(folders):
    return {"method": "pix2pix", **METHODS["pix2pix"], **folders["pix2pix"], "save_every": 2}


@pytest.fixture(scope="module")
def unbroken(options, tmp_path_factory):
    return train(**options, out=tmp_path_factory.mktemp("runs") / "unbroken", quiet=True)


def assert_alike(run, other):
    x = torch.rand(2, 3, 40, 48) * 2 - 1
    with torch.no_grad():
        mine, theirs = (load_generators(path)["a2b"][0](x) for path in (run, other))
    assert (mine - theirs).abs().max() < 1e-5
    assert mine.std() > 0.01


@pytest.mark.skipif(sys.platform != "linux", reason="forks processes")
@pytest.mark.parametrize(
    ("victim", "number"),
    [
        pytest.param(1, signal.SIGKILL, id="dead"),
        pytest.param(1, signal.SIGSTOP, id="silent", marks=pytest.mark.slow),
        pytest.param(0, signal.SIGKILL, id="first", marks=pytest.mark.slow),
    ],
)
def test_a_lost_process_ends_the_other_and_the_run_resumes_with_one(
    victim, number, options, unbroken, tmp_path, one_thread
):
    run = tmp_path / "run"
    found, said = two_processes(tmp_path, options | {"out": str(run)}, victim, number)
    assert found["exit"] == 1, said
    assert found["seconds"] < 30  # after 10 s of silence; outside of this test after 45 s
    first = "the store of all processes on localhost (of process 0, or torchrun)"
    lost = f"process 1 on {socket.gethostname()}" if victim else first
    assert f"error: {lost} has not answered for 10 s, so process {1 - victim} ends as well. The last saved" in said
    assert "Traceback" not in said
    assert sorted(path.stem for path in (run / "state").iterdir()) == ["000000002", "000000004"]
    train(out=run, quiet=True)
    assert_alike(run, unbroken)


def test_processes_that_are_started_again_share_nothing_with_the_dead(monkeypatch):
    """In a store as torchrun keeps it: with what the processes of an earlier start have left."""
    monkeypatch.setattr(rendezvous, "EVERY", 0.001)
    store = dist.HashStore()
    for _ in range(3):
        with ThreadPoolExecutor(3) as processes:
            first = processes.submit(rendezvous.fresh_store, store, 0, 3)
            time.sleep(0.05)  # process 0 answers what the others of the last start said
            late = [processes.submit(rendezvous.fresh_store, store, rank, 3) for rank in (1, 2)]
            found = [each.result(20) for each in (first, *late)]
        assert not any(part.check([f"address{rank}"]) for part in found for rank in range(3))
        for rank, part in enumerate(found):
            part.set(f"address{rank}", "here")
        assert all(part.check(["address0", "address1", "address2"]) for part in found)


def test_a_process_that_does_not_start_is_named(monkeypatch):
    monkeypatch.setattr(rendezvous, "PATIENCE", 0.1)
    with pytest.raises(RuntimeError, match=r"processes \[1, 2\] of 3 did not start within 0 minutes"):
        rendezvous.fresh_store(dist.HashStore(), 0, 3)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_torchrun_restarts_and_the_run_goes_on_by_itself(victim, options, unbroken, tmp_path):
    """A real torchrun, of whose two processes one is killed before its sixth step, the first time."""
    program = tmp_path / "program.py"
    program.write_text(KILLS_ITSELF)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts"]
    arguments = [program, json.dumps(options | {"out": str(tmp_path / "run")}), victim, tmp_path / "killed"]
    done = subprocess.run(
        [*command, "1", *map(str, arguments)], capture_output=True, text=True, timeout=280,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "killed").exists()
    assert "steps 0 to 10" in done.stderr
    assert "steps 4 to 10" in done.stderr  # the states are those after steps 2 and 4
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
    assert_alike(tmp_path / "run", unbroken)


@pytest.mark.skipif(sys.platform != "linux", reason="forks processes")
def test_a_run_of_one_process_resumes_with_two(options, unbroken, tmp_path, one_thread):
    run = shutil.copytree(unbroken, tmp_path / "run")
    (run / "state" / "000000010.pt").unlink()
    (run / "run.json").write_text((run / "run.json").read_text().replace("finished", "running"))
    found, said = two_processes(tmp_path, options | {"out": str(run)})
    assert (found["exit"], said) == (0, "")
    assert json.loads((run / "run.json").read_text())["machine"]["processes"] == 2
    assert_alike(run, unbroken)
