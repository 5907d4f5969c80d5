"""``POST /v1/translate/MODEL``: images to images."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Sequence
from functools import partial
from os.path import splitext
from pathlib import PurePath
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from i2i.lost import Lost
from i2i.runtime.jobs.options import Options
from i2i.runtime.model.model import Model
from i2i.serving.problems import ProblemError
from i2i.serving.web import bodies
from i2i.serving.web.bodies import MULTIPART, Held, Memory, Part
from i2i.serving.web.parameters import MEDIA, accepted, parse
from i2i.serving.web.waiting import all_or_none, while_connected
from i2i.serving.work.pool import Pool
from i2i.serving.work.served import Served
from i2i.serving.work.service import Service
from i2i.serving.work.ticket import Ticket
from i2i.serving.work.translation import UNNAMED, ImageRequest, Translated, safe_names, styled, translate
from i2i.text import join_names, plural

STYLE, MASK = "style", "mask"
"""Names of the form's fields with an example image of the style, and with a mask: one for all images, or one for each
of them, by its file name."""
MOST_LOST = 2000
"""Characters of the header I2I-Lost, since proxies and clients refuse long ones."""
GROWTH = 4
"""Results of a request with several files may take this many times the limit of its body."""


class _Ask(NamedTuple):
    """A request that was read whole, and the model bound as it asks."""

    files: list[Part]
    names: list[str]  # of the files, safe and each different from the others
    masks: list[Part]
    style: tuple[str, bytes] | None  # name and bytes of an example image
    options: Options
    bound: Model
    accept: str


class Translate:
    """The endpoint."""

    def __init__(self, service: Service, memory: Memory) -> None:
        self._service, self._memory = service, memory

    async def __call__(self, request: Request) -> Response:
        """Return the translated image; several files as a zip archive."""
        service, trace = self._service, request.state.trace
        trace.endpoint = "translate"
        with service.store.used(request.path_params["model"]) as served, self._memory.held() as held:
            trace.model = served.name
            pool = service.pool  # refuses before the body is read
            ask = await self._read(request, served, held)
            ticket = service.ticket()
            trace.stages, trace.facts["received"] = ticket.stages, held.bytes
            if ask.style is not None:
                ask = await while_connected(request, pool.run(partial(self._styled, ask), ticket))
            named = zip(ask.files, ask.names, strict=True)
            work = [partial(self._work, served, file, name, ask, ticket) for file, name in named]
            if len(work) == 1:
                done = await while_connected(request, pool.run(work[0], ticket))
                service.metrics.images.labels(served.name).inc()
                return _of_one(done, served, ticket)
            return await while_connected(request, self._several(work, ask.names, served, ticket, pool))

    async def _read(self, request: Request, served: Served, held: Held) -> _Ask:
        settings = self._service.settings
        fields = dict(request.query_params)
        style, masks = None, []
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == MULTIPART:
            given, files = await bodies.read_form(request, settings.max_body, held, settings.max_files)
            fields = given | fields
            styles = [part for part in files if part.field == STYLE]
            masks = [part for part in files if part.field == MASK]
            files = [part for part in files if part.field not in (STYLE, MASK)]
            style = (styles[0].name or STYLE, styles[0].data) if styles else None
        else:
            files = [Part("", UNNAMED, await bodies.read(request, settings.max_body, held))]
        if not files:
            raise ProblemError(400, "the form has no file; send the image as a part with a file name")
        names = safe_names([part.name for part in files])
        parameters = parse(fields, settings.max_pixels)
        bound = parameters.bind(served.model, example=style is not None)
        return _Ask(files, names, masks, style, parameters.options, bound, request.headers.get("accept", "*/*"))

    def _styled(self, ask: _Ask) -> _Ask:
        """Bind the model to the style of the example image, in a thread."""
        assert ask.style is not None
        return ask._replace(bound=styled(ask.bound, *ask.style, ask.options.max_pixels, self._service.decoded))

    def _work(self, served: Served, file: Part, name: str, ask: _Ask, ticket: Ticket) -> Translated:
        """Translate one file, in a thread."""
        choose = accepted("*/*" if len(ask.files) > 1 or ask.options.format else ask.accept)
        request = ImageRequest(file.data, name, ask.options, choose, _mask_of(file.name, name, ask.masks))
        return translate(request, ask.bound, served.infer_with(ask.bound, ticket), self._service.decoded, ticket)

    async def _several(
        self, work: Sequence[partial[Translated]], names: Sequence[str], served: Served, ticket: Ticket, pool: Pool
    ) -> Response:
        """Return a zip archive of the results. A file that fails is named in ``problems.json`` within it."""
        most, slots, size = GROWTH * self._service.settings.max_body, asyncio.Semaphore(pool.workers), 0

        async def one(number: int) -> Translated | ProblemError:
            nonlocal size
            async with slots:
                try:
                    done = await pool.run(work[number], ticket, patient=number > 0)
                except ProblemError as problem:
                    if problem.status in (429, 503, 504):  # of the request, not of the file
                        raise
                    return problem
            self._service.metrics.images.labels(served.name).inc()
            size += len(done.data)
            if size > most:
                raise ProblemError(
                    413, f"the results take more than the limit of {most:,} bytes; send fewer files at once"
                )
            return done

        results = await all_or_none(map(one, range(len(work))), ticket)
        problems = [
            {"file": name, **each.document()}
            for name, each in zip(names, results, strict=True)
            if isinstance(each, ProblemError)
        ]
        done = [each for each in results if isinstance(each, Translated)]
        if not done:
            raise ProblemError(422, f"none of {plural(len(names), 'file')} could be translated", problems=problems)
        return await asyncio.to_thread(_of_several, done, problems, served, ticket)


def _mask_of(sent: str, name: str, masks: Sequence[Part]) -> tuple[str, bytes] | None:
    """Return name and bytes of a file's mask; None where there are no masks.

    It is the only mask, or the one of the name under which the file was sent, else the one that differs in its
    extension, else in its folder too. Raises ProblemError, which calls the file ``name``, if there is none, or if there
    are several.
    """
    if not masks:
        return None
    found = list(masks)
    if len(masks) > 1:
        found = [part for part in masks if part.name == sent]
        found = found or [part for part in masks if splitext(part.name)[0] == splitext(sent)[0]]
        found = found or [part for part in masks if PurePath(part.name).stem == PurePath(sent).stem]
    if not found:
        raise ProblemError(422, f"{name}: no mask of this name; expected one for each image, with any extension")
    if len(found) > 1:
        several = join_names(part.name for part in found)
        raise ProblemError(422, f"{name}: several masks of this name: {several}; expected one: send one for each name")
    return found[0].name or MASK, found[0].data


def _of_one(done: Translated, served: Served, ticket: Ticket) -> Response:
    headers = _headers(served, ticket, [done.lost])
    return Response(done.data, headers=headers, media_type=MEDIA[done.format])


def _of_several(done: Sequence[Translated], problems: list, served: Served, ticket: Ticket) -> Response:
    """Return the archive; its members are stored as they are, since images do not shrink."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, each in zip(safe_names([each.name for each in done]), done, strict=True):
            archive.writestr(name, each.data)
        if problems:
            archive.writestr("problems.json", json.dumps(problems, indent=1))
    headers = _headers(served, ticket, [each.lost for each in done])
    headers["I2I-Failed"] = str(len(problems))
    headers["Content-Disposition"] = f'attachment; filename="{served.name}.zip"'
    return Response(buffer.getvalue(), headers=headers, media_type="application/zip")


def _headers(served: Served, ticket: Ticket, lost: Sequence[Lost]) -> dict[str, str]:
    """Return the headers of a result; ``I2I-Lost`` names what it lacks of its source."""
    timing = ", ".join(f"{stage};dur={1000 * seconds:.1f}" for stage, seconds in ticket.stages.items())
    headers = {"I2I-Model": f"{served.name}; version={served.version}", "Server-Timing": timing}
    if sentences := dict.fromkeys(str(each) for each in lost if each):
        text = "; ".join(sentences).encode("ascii", "backslashreplace").decode()
        headers["I2I-Lost"] = text if len(text) <= MOST_LOST else f"{text[:MOST_LOST]} ..."
    return headers
