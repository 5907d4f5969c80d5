"""Engine of a folder job that hands its images to Ray, in chunks, and notes what comes back."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from i2i.images import ImageError
from i2i.runtime.jobs.opening import JobPlaces
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.planning import FolderTarget
from i2i.runtime.jobs.ray.chunk import ClusterError, Made, Row, Shipped, ShippedModel
from i2i.runtime.jobs.workers import Outcome, reason
from i2i.runtime.system.host import cores

CHUNK = 64
"""Images of a task at most: a worker that dies takes the one in work with it, and the rest is looked at again."""
LEAST = 2
"""Images of a task at least."""
SHARE = 3
"""Tasks for each worker in which what is left would be done: they become small, so that all workers end together."""
RETRIES = 3
"""Times that Ray runs a task again whose worker died."""


class OnRay:
    """Engine for ``translate_folders``: a task of Ray for each few images, one core or one GPU a task."""

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        """Plan it.

        Args:
            address: of the cluster; None: that of RAY_ADDRESS, else Ray is started on this machine.
            workers: tasks that run at once; None: as many as the cluster has cores or GPUs for.
        """
        self.address, self.workers = address, workers

    def __call__(
        self, job: JobPlaces, names: Sequence[str], targets: Sequence[FolderTarget], options: Options
    ) -> Generator[Outcome, None, None]:
        """Yield the outcomes of the images as their chunks come back."""
        count = self.workers or cores()  # of workers; the cluster is asked once there is work for it
        todo = _planned(job, names, targets, options, lambda: SHARE * count)
        for first in todo:
            if not isinstance(first, Outcome):
                break
            yield first
        else:
            return
        with _connected(self.address, self.workers) as ray:
            chunks = _Chunks(ray, job, targets, options)
            chunks.submit(first)
            more = True
            while more or chunks.pending:
                count = self.workers or chunks.room()  # a cluster may grow
                while more and len(chunks.pending) < (self.workers or 2 * count):
                    planned = next(todo, None)
                    if planned is None:
                        more = False
                    elif isinstance(planned, Outcome):
                        yield planned
                    else:
                        chunks.submit(planned)
                if chunks.pending:
                    yield from chunks.outcomes()


class _Chunks:
    """The chunks that Ray has, and what they leave in the journals."""

    def __init__(self, ray: Any, job: JobPlaces, targets: Sequence[FolderTarget], options: Options) -> None:
        self._ray, self._targets, self._name = ray, targets, options.output_name
        self.pending: dict[Any, Sequence[Row]] = {}
        places = tuple(str(results) if results.ahead else results.path.absolute() for results in job.results)
        source = job.source.absolute() if isinstance(job.source, Path) else str(job.source)
        models = tuple(ShippedModel.of(target.model) for target in targets)
        mask = options.mask and options.mask.absolute()
        shipped = Shipped(source, places, replace(options, shard=None, workers=None, mask=mask), models)
        self._shipped = [ray.put(shipped)]  # in a list, so that only a worker's first task copies it
        self._id = uuid.uuid4().hex

        def task(job_id: str, shipped: list[Any], rows: Sequence[Row]) -> list[Made]:
            import ray

            from i2i.runtime.jobs.ray import chunk

            return chunk.translate(job_id, lambda: ray.get(shipped[0]), rows)

        on_cpu = all(target.model.on_cpu for target in targets)
        self._kind = "CPU" if on_cpu else "GPU"
        resources: dict[str, Any] = {} if on_cpu else {"num_gpus": 1}
        self._task = ray.remote(num_cpus=1, max_retries=RETRIES, **resources)(task)

    def room(self) -> int:
        """Return how many tasks the cluster has cores or GPUs for now."""
        return max(1, int(self._ray.cluster_resources().get(self._kind, 0)))

    def submit(self, rows: Sequence[Row]) -> None:
        """Let Ray run a chunk."""
        self.pending[self._task.remote(self._id, self._shipped, rows)] = rows

    def outcomes(self) -> Iterator[Outcome]:
        """Wait for a chunk, and yield its outcomes."""
        ready, _ = self._ray.wait(list(self.pending), num_returns=1)
        rows = self.pending.pop(ready[0])
        try:
            made = self._ray.get(ready[0])
        except self._ray.exceptions.RayTaskError as error:  # of our function: what stops a job
            if "No module named" in str(error.cause):
                missing = str(error.cause).partition("No module named ")[2].splitlines()[0]
                text = f"a worker cannot import {missing}: install the same i2i and extras on every machine"
                raise ClusterError(f"the Ray cluster: {text}") from error
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            if len(rows) > 1:  # one of them ends every worker that gets it
                for row in rows:
                    self.submit([row])
                return
            died = f"the worker that translated it died {RETRIES + 1} times ({type(error).__name__})"
            yield Outcome(rows[0].source, "failed", str(ImageError(rows[0].source, died)))
            yield from (Outcome(rows[0].source, "failed") for _ in self._targets[1:])
            return
        for each in made:
            yield self._noted(each)

    def _noted(self, made: Made) -> Outcome:
        """Note a result in the journal, and return the outcome: one that a dead worker had made is done."""
        outcome, row = made.outcome, made.row
        if outcome.status == "failed" or row.done[made.target]:
            return outcome
        self._targets[made.target].journal.done(self._name(row.name), row.state, made.size)
        return replace(outcome, status="done")


def _planned(
    job: JobPlaces, names: Sequence[str], targets: Sequence[FolderTarget], options: Options, parts: Callable[[], int]
) -> Iterator[Outcome | list[Row]]:
    """Yield chunks of images to translate, each one in ``parts()`` of what is left; and the outcomes of the others."""
    rows: list[Row] = []
    journals = [target.journal for target in targets]
    for number, image in enumerate(job.images(names, journals, options.output_name)):
        name, left = names[number], len(names) - number + len(rows)
        try:
            state = image.state()
        except (ImageError, OSError) as error:
            yield Outcome(image.source, "failed", reason(image, None, error))
            yield from (Outcome(image.source, "failed") for _ in targets[1:])
            continue
        done = tuple(journal.is_done(image.name, state) for journal in journals)
        if all(done):
            yield from (Outcome(image.source, "skipped") for _ in targets)
            continue
        path = "" if isinstance(job.source, Path) else job.source.path(name)
        rows.append(Row(image.source, name, path, state, tuple(each.before(image.name) for each in journals), done))
        if len(rows) >= max(LEAST, min(CHUNK, left // parts())):
            yield rows
            rows = []
    if rows:
        yield rows


@contextmanager
def _connected(address: str | None, workers: int | None) -> Iterator[Any]:
    """Yield the module of Ray, connected to a cluster, or to one that is started on this machine and ends here."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray sends them to its maker
    import ray

    if ray.is_initialized():  # by the program that called
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        if address and (found := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address)):  # Ray would wait for minutes
            socket.create_connection((found[1], int(found[2])), timeout=10).close()
    except OSError as error:
        raise ClusterError(f"{address}: the cluster cannot be reached: {error.strerror or error}") from error
    handler = signal.getsignal(signal.SIGTERM)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            ray.init(address="local", num_cpus=max(cores(), workers or 1), include_dashboard=False, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        hint = ". If it asks for a token, set RAY_AUTH_MODE=token" if address else ""
        raise ClusterError(
            f"{address or 'Ray on this machine'}: the cluster cannot be reached: {text}{hint}"
        ) from error
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray has put its own in the place
    try:
        yield ray
    finally:
        ray.shutdown()
