"""The processes of a run end together: without this, those that are left wait for a dead one for ever."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
from contextlib import suppress
from datetime import timedelta

import torch.distributed as dist

from i2i.progress import say

EVERY = 3.0  # seconds between two beats
SILENCE = 45.0  # seconds without one after which a process counts as dead
LEFT = b"left"


class Pulse:
    """A thread that tells the other processes that this one lives, and ends it once another does not.

    The beats are counted in the store with which the processes found each other, so that they need none of the
    connections that fail when a process dies.
    """

    def __init__(self, rank: int, size: int) -> None:
        token = [os.urandom(8).hex()]  # a restart of the same job uses the same store
        dist.broadcast_object_list(token, src=0)
        host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        server = dist.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=SILENCE))
        self.store, self.rank = dist.PrefixStore(token[0], server), rank
        self.store.set(f"host{rank}", socket.gethostname())
        self.others = [other for other in range(size) if other != rank]
        self.ended, self.answered, self.turns = threading.Event(), True, 0
        self.threads = [threading.Thread(target=t, daemon=True) for t in (self._beat, self._watch_the_store)]
        for thread in self.threads:
            thread.start()

    def leave(self) -> None:
        """Say that this process needs the others no more, and stop watching them."""
        self.ended.set()
        for thread in self.threads:
            thread.join(SILENCE)

    def wait_for_the_lost(self) -> None:
        """Wait until another process counts as dead, which ends this one; return if all live."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # from torchrun, which names the dead process itself
        enough = self.turns + SILENCE / EVERY + 3
        while self.turns < enough and not self.ended.wait(EVERY):
            pass

    # All count turns, not seconds: on a machine that is too busy to run this process, they wait longer.

    def _beat(self) -> None:
        keys = [f"beat{other}" for other in self.others]
        last, silent = [b""] * len(keys), [0] * len(keys)
        with suppress(RuntimeError):  # of the store, which the other thread misses
            for count in itertools.count():
                self.store.set(f"beat{self.rank}", str(count))
                now = self.store.multi_get(keys)
                self.answered = True
                silent = [n + 1 if a == b != LEFT else 0 for n, a, b in zip(silent, last, now, strict=True)]
                last = now
                if max(silent) * EVERY > SILENCE:
                    other = self.others[silent.index(max(silent))]
                    self._end(f"process {other} on {self.store.get(f'host{other}').decode()}")
                self.turns = count + 1
                if self.ended.wait(EVERY):
                    break
            self.store.set(f"beat{self.rank}", LEFT.decode())

    def _watch_the_store(self) -> None:
        """End this process if the store does not answer: a machine without power does not close its connections."""
        silent = 0
        while not self.ended.wait(EVERY):
            silent, self.answered = 0 if self.answered else silent + 1, False
            if silent * EVERY > SILENCE:
                self._end(f"the store of all processes on {os.environ['MASTER_ADDR']} (of process 0, or torchrun)")

    def _end(self, lost: str) -> None:
        if self.ended.is_set():
            return
        say(
            f"error: {lost} has not answered for {SILENCE:.0f} s, so process {self.rank} ends as well. The last saved "
            "state is untouched: run the same command again to continue, with as many processes as there are"
        )
        os._exit(1)
