"""The threads of a folder job: decoding, inference and encoding side by side."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from i2i.images import Image, ImageError, read_header, read_image
from i2i.lost import NOTHING, Lost
from i2i.runtime.errors import ModelError
from i2i.runtime.jobs import image_file
from i2i.runtime.jobs.image_file import StoppedError
from i2i.runtime.jobs.options import Options
from i2i.runtime.jobs.oversized import decoded_bytes, in_strips
from i2i.runtime.jobs.parallel import ParallelInference
from i2i.runtime.jobs.places import State
from i2i.runtime.jobs.planning import ImageTask, JobTarget, PlannedImage, image_task
from i2i.runtime.memory.batcher import Batcher
from i2i.text import os_error

if TYPE_CHECKING:
    from i2i.runtime.jobs.strips import StripTranslation

PENDING_OUTCOMES = 100  # outcomes that may wait to be reported; the work waits while there are more


@dataclass(frozen=True)
class Outcome:
    """Result of one file with one model: ``status`` is done, skipped or failed."""

    source: Path | str  # a URL is text
    status: str
    note: str = ""  # the reason of a failure, or of a change of status; it names the file
    lost: Lost = NOTHING  # what the result lacks of its source


class WorkerPool:
    """Threads that each take one image from file to files; as a context manager it ends them."""

    def __init__(self, targets: Sequence[JobTarget], options: Options, transfers: int = 0) -> None:
        """Plan the threads; ``transfers`` of them more than translate at once, so that some can wait for a network."""
        self.options, self._transfers = options, transfers
        self.stopped = threading.Event()  # set when no more images are to be started
        self._threads: list[threading.Thread] = []
        # Simple ones, which an interrupt leaves as they are: a bounded queue may stay locked.
        self._added: SimpleQueue[None] = SimpleQueue()  # one for each outcome that was added
        # Apart from it, since an interrupt while a thread waits for a queue may take what it returns.
        self._outcomes: deque[Outcome | BaseException | None] = deque()
        self._places: SimpleQueue[None] = SimpleQueue()  # one for each outcome that may still be added
        for _ in range(PENDING_OUTCOMES):
            self._places.put(None)
        self._taking = threading.Lock()
        self._made: set[Path] = set()  # folders
        self.targets = [replace(target, model=target.model.for_many()) for target in targets]
        models = [target.model for target in self.targets]
        self._parallel = ParallelInference(models, options.workers, options.batch)
        self._infers = [self._parallel.infer_with(model) for model in models]
        self._translating = threading.Semaphore(self._parallel.workers)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *exc: object) -> None:
        """Let each thread finish its image, after an interrupt too, so that no file is left half-written."""
        self._end()
        for infer in self._infers:
            if isinstance(infer, Batcher):
                infer.close()

    def outcomes(self, images: Iterable[PlannedImage], count: int) -> Iterator[Outcome]:
        """Yield the outcome of each image with each model as soon as it is there; at the end raise what stopped the
        job.

        ``count`` limits the images in work at the same time.
        """
        todo = iter(images)
        self._threads = [
            threading.Thread(target=self._work, args=(todo,), name=f"i2i-{number}", daemon=True)
            for number in range(min(self._parallel.workers + self._transfers, count))
        ]
        for thread in self._threads:
            thread.start()
        running = len(self._threads)
        failure: BaseException | None = None
        while running:
            self._added.get()
            outcome = self._outcomes.popleft()
            self._places.put(None)
            if outcome is None:
                running -= 1
            elif isinstance(outcome, BaseException):
                failure = failure or outcome
                self.stopped.set()
            else:
                yield outcome
        if failure is not None:
            raise failure

    def rest(self) -> Iterator[Outcome]:
        """Yield, after an interrupt, the outcomes of the images that were in work."""
        self._end()
        while self._outcomes:
            outcome = self._outcomes.popleft()
            if isinstance(outcome, Outcome):
                yield outcome

    def _end(self) -> None:
        """Begin no image any more, and wait until each thread has finished its own."""
        self.stopped.set()
        for _ in self._threads:
            self._places.put(None)  # no outcome is taken any more, and each thread may wait to add one
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _work(self, todo: Iterator[PlannedImage]) -> None:
        try:
            while not self.stopped.is_set():
                with self._taking:
                    image = next(todo, None)
                if image is None:
                    break
                for outcome in self._translate(image):
                    self._put(outcome)
        except BaseException as error:  # raised again in the thread that waits for outcomes
            self._put(error)
        finally:
            self._put(None)

    def _put(self, outcome: Outcome | BaseException | None) -> None:
        """Add an outcome; wait until there is a place for it, unless the work is to end."""
        if not self.stopped.is_set():
            self._places.get()
        self._outcomes.append(outcome)
        self._added.put(None)

    def _translate(self, image: PlannedImage) -> Iterator[Outcome]:
        """Yield one outcome for each model."""
        try:
            if image.problem:
                raise ImageError(image.source, image.problem)
            state = image.state()
            done = [target.journal.is_done(image.name, state) for target in self.targets]
            if all(done):
                yield from (Outcome(image.source, "skipped") for _ in done)
                return
        except (ImageError, OSError) as error:
            yield from self._failed(image, None, error)
            return
        with ExitStack() as fetching:
            try:
                file = fetching.enter_context(image.fetched())
            except StoppedError:
                raise
            except (ImageError, OSError) as error:
                yield from self._failed(image, None, error)
                return
            yield from self._translate_file(image, file, state, done)

    def _translate_file(self, image: PlannedImage, file: Path, state: State, done: list[bool]) -> Iterator[Outcome]:
        """Yield one outcome for each model, from a local file."""
        try:
            tasks = self._tasks(image, file, done)
            strips = [
                None if task is None else in_strips(task, target.model, self.options)
                for task, target in zip(tasks, self.targets, strict=True)
            ]
            whole = [task for task, large in zip(tasks, strips, strict=True) if task is not None and large is None]
            # Small images gather in batches, so many threads decode them; as many large ones would fill the memory.
            scale = max(target.model.spec.scale for target in self.targets)
            size = decoded_bytes(whole[0].header) * scale**2 if whole else None
        except (ImageError, OSError, MemoryError) as error:
            yield from self._failed(image, file, error)
            return
        with nullcontext() if size is None else self._parallel.decoded.hold(size):
            try:
                decoded = None
                if whole:
                    with self._translating:
                        decoded = read_image(file, self.options.max_pixels, self.options.keep_metadata)
            except (ImageError, OSError, MemoryError) as error:
                yield from self._failed(image, file, error)
                return
            yield from self._through_all(image, file, state, tasks, strips, decoded)

    def _tasks(self, image: PlannedImage, file: Path, done: list[bool]) -> list[ImageTask | None]:
        """Return the task of each model; None where it is done."""
        header = read_header(file, self.options.max_pixels)
        return [
            None if skip else image_task(file, target.folder / image.name, self.options, header)
            for skip, target in zip(done, self.targets, strict=True)
        ]

    def _through_all(
        self,
        image: PlannedImage,
        file: Path,
        state: State,
        tasks: list[ImageTask | None],
        strips: list[StripTranslation | None],
        decoded: Image | None,
    ) -> Iterator[Outcome]:
        """Yield the outcome of each model, from strips or from the decoded image."""
        for target, infer, task, large in zip(self.targets, self._infers, tasks, strips, strict=True):
            if task is None:
                yield Outcome(image.source, "skipped")
                continue
            try:
                with self._translating:
                    if large is not None:
                        with self._parallel.alone():
                            self._begin(target, image.name, state)
                            lost = large.run(self.options)
                    else:
                        assert decoded is not None
                        name = image.relative
                        result = image_file.translate(decoded, target.model, self.options, infer, task.format, name)
                        self._begin(target, image.name, state)
                        lost = image_file.write(result, task.target, task.format, self.options)
                target.results.put(image.name)
                target.journal.done(image.name, state)
            except StoppedError:
                raise
            except (ImageError, ModelError, OSError, MemoryError) as error:
                image_file.stop_if_full(error, target.folder)  # raised by the journal or a new folder
                yield Outcome(image.source, "failed", reason(image, file, error))
                continue
            yield Outcome(image.source, "done", lost=lost)

    def _failed(self, image: PlannedImage, file: Path | None, error: BaseException) -> Iterator[Outcome]:
        """Yield the outcomes of a file that no model gets."""
        yield Outcome(image.source, "failed", reason(image, file, error))
        yield from (Outcome(image.source, "failed") for _ in self.targets[1:])

    def _begin(self, target: JobTarget, name: str, state: State) -> None:
        """Note in the journal that a result is about to be written, and make its folder."""
        folder = (target.folder / name).parent
        if folder not in self._made:
            folder.mkdir(parents=True, exist_ok=True)
            self._made.add(folder)
        if not target.results.ahead:
            target.journal.begin(name, state)


def reason(image: PlannedImage, file: Path | None, error: BaseException) -> str:
    """Return why an image failed, in a line that names its source, of which ``file`` is the local copy."""
    source = image.source
    if isinstance(error, ImageError):
        return str(error if error.path != file else ImageError(source, error.reason))
    if isinstance(error, MemoryError):  # of this image; others may be smaller
        return str(ImageError(source, image_file.NO_MEMORY))
    if not isinstance(error, OSError):
        return str(ImageError(source, str(error)))
    if error.filename in (None, str(source), str(file)):
        return str(ImageError(source, error.strerror or str(error)))
    return str(ImageError(source, os_error(error)))
