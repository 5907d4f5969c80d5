"""Trains in child processes that are killed at random moments, until a run is done. A program, so that it can fork.

python killed.py OPTIONS(JSON) KILLS SEED: the options of i2i.train, ``out`` among them; prints how many were killed.
"""

import json
import os
import random
import signal
import sys
import time
import warnings

import torch
import torch.utils.tensorboard  # before the children, who would each take a second for it

from i2i.engine import train


def child(options):
    warnings.simplefilter("error")
    train(quiet=True, **options)


def main():
    options, kills, rng = json.loads(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    torch.set_num_threads(1)
    killed = 0
    while True:
        pid = os.fork()
        if pid == 0:
            try:
                child(options)
                os._exit(0)
            except BaseException as error:
                print(repr(error), file=sys.stderr)
                os._exit(1)
        if killed < kills:
            # From before the first state is written to well into the steps; sometimes in the midst of a write.
            time.sleep(rng.uniform(0.02, 0.45))
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            killed += 1
        elif os.waitstatus_to_exitcode(status) == 0:
            break
        else:
            sys.exit("a child failed")
    print(json.dumps({"killed": killed}))


if __name__ == "__main__":
    main()
