"""Agreement of the processes of one start of a run, in a store that may remember earlier ones."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import torch.distributed as dist

PATIENCE = 600.0  # seconds until all processes must be there
EVERY = 0.05  # seconds between two looks of process 0


def fresh_store(store: dist.Store, rank: int, size: int) -> dist.Store:
    """Return a part of the store that only the processes of this start use, the same in each.

    torchrun keeps its store when it restarts the processes (``--max-restarts``). They would find the addresses of the
    dead ones in it, connect to these, and fail or wait for ever. Its counter of restarts differs between machines, so
    each process says hello with a number of its own, and process 0 answers to that number with the name of the part.
    Raises RuntimeError for processes that are not there in time.
    """
    own = os.urandom(8).hex()
    if rank > 0:
        store.set(f"i2i/hello/{rank}", own)
        store.wait([f"i2i/part/{own}"], timedelta(seconds=PATIENCE))
        part = store.get(f"i2i/part/{own}").decode()
        store.set(f"i2i/joined/{part}/{rank}", "")
        return dist.PrefixStore(part, store)
    missing, end = list(range(1, size)), time.monotonic() + PATIENCE
    while missing := [other for other in missing if not store.check([f"i2i/joined/{own}/{other}"])]:
        if time.monotonic() > end:
            raise RuntimeError(f"processes {missing} of {size} did not start within {PATIENCE / 60:.0f} minutes")
        for other in missing:
            if store.check([f"i2i/hello/{other}"]):  # of this start, or still of an earlier one, which nobody reads
                store.set(f"i2i/part/{store.get(f'i2i/hello/{other}').decode()}", own)
        time.sleep(EVERY)
    return dist.PrefixStore(own, store)
