"""Trains in child processes that are killed at random moments, until all runs are done. A program, so that it can fork.

python killed.py RUNS(JSON) KILLS SEED: of each run the options of i2i.train, ``out`` among them; prints how many
children of each were killed.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import torch
import torch.utils.tensorboard

from i2i.engine import train


def child(options):
    warnings.simplefilter("error")
    train(quiet=True, **options)


def ended(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def train_under_fire(options, kills, rng):
    """Train until the run is done; return the number of killed children."""
    states, killed = Path(options["out"], "state"), 0
    while True:
        pid = os.fork()
        if pid == 0:
            try:
                child(options)
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr)
                os._exit(1)
        if killed == kills - 1:  # the last one for certain in the midst of it: as soon as a state is new
            before = sorted(states.glob("*.pt"))
            while sorted(states.glob("*.pt")) == before and not ended(pid):
                time.sleep(0.002)
            os.kill(pid, signal.SIGKILL)
        elif (
            killed < kills
        ):  # from before the first state is written to well into the steps, or in the midst of a write
            time.sleep(rng.uniform(0.02, 0.45))
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.waitstatus_to_exitcode(status) == 0:
            return killed
        else:
            sys.exit(f"a child of {options['method']} failed")


def main():
    runs, kills, rng = json.loads(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    torch.set_num_threads(1)
    # What the first optimiser and TensorBoard import is there before the children, who would each take seconds for it
    # and be killed in the midst of that.
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    print(json.dumps({"killed": [train_under_fire(options, kills, rng) for options in runs]}))


if __name__ == "__main__":
    main()
