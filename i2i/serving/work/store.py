"""The loaded models by name: loaded, replaced and unloaded while requests use them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from i2i.errors import I2IError
from i2i.runtime.jobs.parallel import ParallelInference
from i2i.runtime.log import note
from i2i.runtime.model.model import Model
from i2i.serving.metrics import Metrics
from i2i.serving.problems import ProblemError
from i2i.serving.settings import Settings
from i2i.serving.work.served import Served, Stamp, stamp_of
from i2i.serving.work.sources import paths_of
from i2i.text import join_names, printable


class ModelStore:
    """The models of a service.

    The sources, of ``paths_of``, are read again by each ``refresh``, so that files that are put into a folder are
    loaded, and those that go are unloaded.

    Attributes:
        parallel: the threads and the memory that all models share; set by the first ``refresh``.
    """

    def __init__(self, sources: Sequence[str], settings: Settings, metrics: Metrics) -> None:
        self._sources, self._settings, self._metrics = list(sources), settings, metrics
        self._served: dict[str, Served] = {}
        self._refused: dict[str, Stamp] = {}  # files that failed: not tried again until they change
        self._seen: dict[str, Stamp] = {}  # by the last refresh
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self.parallel: ParallelInference | None = None

    def load(self) -> None:
        """Load all models, and run each. Raises ModelError, ProviderError, ValueError and OSError."""
        paths = paths_of(self._sources)
        if not paths:
            raise ValueError(f"{join_names(self._sources)}: no .onnx file of a translator; a service needs a model")
        served = [self._open(name, path) for name, path in paths.items()]
        settings = self._settings
        self.parallel = ParallelInference(
            [each.model for each in served],
            settings.workers,
            settings.batch,
            settings.batch_wait,
            self._metrics.batches.observe,
            settings.processes,
        )
        for each in served:
            self._put(each)

    def refresh(self, settled: bool = False) -> None:
        """Load new and changed files, and unload what is gone. A model whose new file fails stays as it is.

        With ``settled`` a changed file is loaded once two calls find it alike: it may still be written.
        """
        with self._refreshing:
            try:
                paths = paths_of(self._sources)
            except (I2IError, OSError, ValueError, ImportError) as error:  # to export a run needs PyTorch
                note(f"models are kept as they are: {error}")
                return
            for name, path in paths.items():
                try:
                    stamp = stamp_of(path)
                except OSError:  # deleted since
                    continue
                if not settled or self._seen.get(name) == stamp:
                    self._refresh(name, path, stamp)
                self._seen[name] = stamp
            with self._lock:
                gone = [self._served.pop(name) for name in list(self._served) if name not in paths]
            for each in gone:
                self._forget(each)
                each.retire()
                note(f"model {each.name}: unloaded")

    def _refresh(self, name: str, path: Path, stamp: Stamp) -> None:
        old = self._served.get(name)
        if stamp in (None if old is None else old.stamp, self._refused.get(name)):
            return
        try:
            self._put(self._open(name, path))
        except (I2IError, OSError, ValueError) as error:
            self._refused[name] = stamp
            self._metrics.reloads.labels(name, "failed").inc()
            note(f"model {name}: {'not loaded' if old is None else 'kept as it is'}: {error}")
            return
        self._refused.pop(name, None)
        note(f"model {name}: loaded {printable(path)}, version {self._served[name].version}")

    @contextmanager
    def used(self, name: str) -> Iterator[Served]:
        """Yield a model, which stays open within the block. Raises ProblemError 404 for an unknown name.

        Problems within the block lose the path of the model's folder, which is of no concern to clients.
        """
        with self._lock:
            served = self._served.get(name)
            if served is None:
                known = join_names(self._served) or "none"
                raise ProblemError(404, f"no model {name!r}; loaded are {known}")
            served.acquire()
        try:
            yield served
        except ProblemError as problem:
            problem.detail = problem.detail.replace(f"{served.model.path.parent}{os.sep}", "")
            raise
        finally:
            served.release()

    def all(self) -> list[Served]:
        """Return the loaded models."""
        with self._lock:
            return list(self._served.values())

    def close(self) -> None:
        """Unload everything."""
        with self._lock:
            served, self._served = list(self._served.values()), {}
        for each in served:
            each.retire()

    def _open(self, name: str, path: Path) -> Served:
        settings, stamp = self._settings, stamp_of(path)
        model = Model(path, settings.provider, side_by_side=True, allow_fallback=settings.allow_fallback)
        served = Served(name, model, stamp)
        served.warm_up()
        return served

    def _put(self, served: Served) -> None:
        assert self.parallel is not None
        served.share(self.parallel)
        with self._lock:
            old = self._served.get(served.name)
            self._served[served.name] = served
        if old is not None:
            self._forget(old)
            old.retire()
        self._metrics.models.labels(served.name, served.model.provider, served.version).set(1)
        self._metrics.reloads.labels(served.name, "loaded").inc()

    def _forget(self, served: Served) -> None:
        self._metrics.models.remove(served.name, served.model.provider, served.version)
