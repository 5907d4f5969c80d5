"""Two processes under torchrun agree with one at the same global batch."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from i2i.engine import load_generators, train
from i2i.networks import per_image

ROOT = Path(__file__).parents[2]
COMMON = {
    "steps": 10,
    "precision": "fp32",
    "size": 32,
    "batch": 2,
    "sample_every": 0,
    "ngf": 4,
    "ndf": 4,
    "norm": "instance",
    "dropout": False,
}
METHODS = {
    "pix2pix": COMMON | {"generator": "unet_32"},
    # In single precision one differently rounded sum is amplified tenfold by every two steps of Adam on this game.
    "cyclegan": COMMON | {"generator": "resnet_1", "pool": 0, "precision": "fp64"},
}


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "i2i")


def torchrun(method, options, out, program=TORCHRUN):
    """Train in two processes; return their output."""
    arguments = [
        item
        for name, value in options.items()
        for item in (
            ["--set", f"{name}={value}"]
            if name in ("ngf", "ndf", "norm", "dropout", "generator", "pool")
            else [f"--{name.replace('_', '-')}", str(value)]
        )
    ]
    command = [sys.executable, *program, "train", method, *arguments, "--out", str(out), "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


FORKED = """
import sys
from pathlib import Path
import torch.utils.tensorboard
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from i2i.cli import main
from i2i.engine import loop
from i2i.engine.distributed import World

def differing():
    world = World.join()
    assert world.agree(7, "sevens") == 7
    try:
        world.agree(1000 * world.rank, "the step they start from")
    except RuntimeError as error:
        print(f"[rank {world.rank}: {error}]", flush=True)
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        assert end.code == 0
    print("threads:", *{path.read_text() for path in Path("/proc/self/task").glob("*/comm")}, flush=True)

if __name__ == "__main__":
    # An optimiser imports it, after the process group is made: so it is where each process is a program of its own.
    assert "torch.distributed.nn.functional" not in sys.modules
    standalone = {"run_id": "any", "rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0"}
    elastic_launch(LaunchConfig(1, 1, 2, **standalone, start_method="fork"), differing)()
"""
"""Does what torchrun does, in processes that it forks: PyTorch is imported once, not three times."""


@pytest.mark.parametrize("method", ["pix2pix", pytest.param("cyclegan", marks=pytest.mark.slow)])
def test_two_processes_train_like_one(method, folders, tmp_path, one_thread):
    """Before they train, they differ in one value, and both report it."""
    (tmp_path / "forked.py").write_text(FORKED)
    options = METHODS[method] | folders[method]
    one = train(method, **options, out=tmp_path / "one", quiet=True)
    said = torchrun(method, options, tmp_path / "two", [str(tmp_path / "forked.py")])
    assert sorted(re.findall(r"\[rank (\d): the processes differ in the step", said)) == ["0", "1"]
    assert said.count("threads:") == 2
    assert "gloo" not in said  # threads of the process group that outlive it may abort the process
    mine, theirs = load_generators(one), load_generators(tmp_path / "two")
    assert mine.keys() == theirs.keys()
    x = torch.rand(2, 3, 40, 48) * 2 - 1
    for direction, (net, _) in mine.items():
        other = theirs[direction][0]
        with torch.no_grad():
            assert (per_image(net)(x) - per_image(other)(x)).abs().max() < 1e-5
        last = [key for key in net.state_dict() if key.startswith("last")]
        # A bias that a norm cancels has no gradient but rounding noise, which Adam blows up to the learning rate.
        compared = [key for key in net.state_dict() if not key.endswith("bias") or key in last]
        assert len(compared) > 5
        for key in compared:
            assert (net.state_dict()[key] - other.state_dict()[key]).abs().max() < 1e-5, key


@pytest.mark.slow
def test_two_processes_resume_exactly(folders, tmp_path):
    """The image pool of each process included."""
    options = METHODS["cyclegan"] | folders["cyclegan"] | {"pool": 3, "dropout": True, "save_every": 5}
    unbroken, run = tmp_path / "unbroken", tmp_path / "run"
    torchrun("cyclegan", options, unbroken)
    shutil.copytree(unbroken, run)
    (run / "state" / "000000010.pt").unlink()
    (run / "run.json").write_text((run / "run.json").read_text().replace("finished", "running"))
    torchrun("cyclegan", options, run)
    ours, theirs = (torch.load(max((r / "state").iterdir()), weights_only=True)["game"] for r in (run, unbroken))
    assert len(ours["local"]) == 2
    pools = [state["past_x._extra_state"]["images"] for state in (ours["local"] + theirs["local"])]
    assert torch.equal(pools[0], pools[2])
    assert torch.equal(pools[1], pools[3])
    assert not torch.equal(pools[0], pools[1])
    assert all(torch.equal(ours["translator"][key], theirs["translator"][key]) for key in theirs["translator"])


def test_a_batch_that_cannot_be_split(folders, tmp_path, monkeypatch):
    from i2i.engine.distributed import World

    monkeypatch.setattr(World, "join", classmethod(lambda cls: World(0, 2)))
    with pytest.raises(ValueError, match="batch 3 cannot be split over 2 processes"):
        train("pix2pix", **folders["pix2pix"], out=tmp_path / "run", batch=3, quiet=True)
    assert not (tmp_path / "run").exists()


ALIKE = """
import torch
from torch import nn
from i2i.engine.distributed import World
from i2i.engine.step import Move
from i2i.translators.base import Player
from i2i.translators.began import BEGAN
world = World.join()
began = BEGAN(height=16, width=16, filters=1, latent=1, lambda_k=0.5)
began._gaps.append(torch.tensor([0.2, 0.6][world.rank]))
Move(began.players()["G"], world=world).update(1.0)
net, found = nn.Linear(1, 1, bias=False), []
for balance in (0.3, 0.5):
    def loss(views):
        return {"gan": net.weight.sum() * 0 + [0.2, 0.6][world.rank]}
    move = Move(Player(net, loss, skip=lambda terms, balance=balance: terms["gan"] < balance), world=world)
    terms = move({}, torch.enable_grad)
    found.append((bool(move.optimizer.state), round(float(terms["gan"]), 3)))
print(f"[rank {world.rank}: k {float(began.k):.3f}, {found}]", flush=True)
world.leave()
"""


def test_processes_agree_on_the_balance_of_the_players(tmp_path):
    """BEGAN's k, and whether a player skips a step: both follow the mean over the processes."""
    (tmp_path / "alike.py").write_text(ALIKE)
    said = torchrun("began", {}, tmp_path / "none", [*TORCHRUN[:-2], str(tmp_path / "alike.py")])
    for rank, own in ((0, 0.2), (1, 0.6)):
        assert f"[rank {rank}: k 0.200, [(True, {own}), (False, {own})]]" in said
