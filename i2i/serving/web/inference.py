"""``/v2``: the Open Inference Protocol, for clients that send and take pixels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from i2i import __version__
from i2i.runtime import processing
from i2i.runtime.memory.memory_limit import MemoryLimit
from i2i.runtime.model.model import Model
from i2i.runtime.model.styles import StyleLike
from i2i.serving.problems import ProblemError, of, of_request
from i2i.serving.web import bodies, tensors
from i2i.serving.web.bodies import Memory
from i2i.serving.web.waiting import all_or_none, while_connected
from i2i.serving.work.served import Served
from i2i.serving.work.service import Service
from i2i.serving.work.ticket import AbandonedError, Ticket
from i2i.spec import Spec
from i2i.text import plural

IMAGE, TARGET, STYLE, TRANSLATION = "image", "target", "style", "translation"
PLATFORM = "onnx_onnxv1"


class Protocol:
    """The endpoints of the protocol."""

    def __init__(self, service: Service, memory: Memory) -> None:
        self._service, self._memory = service, memory

    async def live(self, request: Request) -> Response:
        """Return 200 while the process answers."""
        request.state.trace.endpoint = "health"
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """Return 200 once all models are loaded and warm, and until the service stops."""
        request.state.trace.endpoint = "health"
        return JSONResponse({"ready": self._service.ready}, 200 if self._service.ready else 503)

    async def server(self, request: Request) -> Response:
        """Describe the service."""
        return JSONResponse({"name": "i2i", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def model(self, request: Request) -> Response:
        """Describe a model: its inputs and outputs."""
        with self._used(request) as served:
            return JSONResponse(describe(served))

    async def model_ready(self, request: Request) -> Response:
        """Return 200 for a loaded model."""
        with self._used(request) as served:
            return JSONResponse({"name": served.name, "ready": True})

    async def infer(self, request: Request) -> Response:
        """Translate a batch of images of one size."""
        service, trace = self._service, request.state.trace
        trace.endpoint = "infer"
        with self._used(request) as served, self._memory.held() as held:
            trace.model = served.name
            pool = service.pool
            body = await bodies.read(request, service.settings.max_body, held)
            ticket = service.ticket()
            trace.stages, trace.facts["received"] = ticket.stages, held.bytes
            inputs = await asyncio.to_thread(tensors.read, body, request.headers.get(tensors.HEADER))
            spec = served.model.spec
            images = _images(inputs, spec, service.settings.max_pixels, service.settings.max_files)
            if not inputs.binary:
                tensors.check_json(len(images) * prod(images.shape[1:3]) * spec.scale**2 * spec.target.channels)
            bound = await asyncio.to_thread(_bound, inputs, served.model, len(images))

            async def all_images() -> list[np.ndarray]:
                infer = partial(_infer, served, ticket, service.decoded)
                work = [partial(infer, *each) for each in zip(images, bound, strict=True)]
                slots = asyncio.Semaphore(pool.workers)

                async def one(number: int) -> np.ndarray:
                    async with slots:
                        return await pool.run(work[number], ticket, patient=number > 0)

                return await all_or_none(map(one, range(len(work))), ticket)

            results = await while_connected(request, all_images())
            service.metrics.images.labels(served.name).inc(len(results))
            facts: dict[str, Any] = {"model_name": served.name, "model_version": served.version}
            if inputs.id is not None:
                facts["id"] = inputs.id
            body, headers = await asyncio.to_thread(_written, facts, results, inputs.binary, service.decoded)
            return Response(body, headers=headers)

    @contextmanager
    def _used(self, request: Request) -> Iterator[Served]:
        """Yield the model in the path, of the version in the path if there is one. Raises ProblemError 404 and 503."""
        version = request.path_params.get("version")
        with self._service.store.used(request.path_params["model"]) as served:
            if version not in (None, served.version):
                raise ProblemError(404, f"{served.name} has no version {version!r}; loaded is {served.version}")
            yield served


def describe(served: Served) -> dict[str, Any]:
    """Return the metadata of a model."""
    spec = served.model.spec
    kind = tensors.NAMES[np.dtype(spec.dtype)]
    inputs = [{"name": IMAGE, "datatype": kind, "shape": [-1, -1, -1, spec.source.channels]}]
    if spec.domains:
        target = ("FP32", [-1, len(spec.domains)]) if spec.attributes else ("INT64", [-1])
        inputs.append({"name": TARGET, "datatype": target[0], "shape": target[1]})
    if spec.style is not None:
        inputs.append({"name": STYLE, "datatype": "FP32", "shape": [-1, spec.style.length]})
    outputs = [{"name": TRANSLATION, "datatype": kind, "shape": [-1, -1, -1, spec.target.channels]}]
    facts = {"name": served.name, "versions": [served.version], "platform": PLATFORM}
    return facts | {"inputs": inputs, "outputs": outputs}


def _images(inputs: tensors.Inputs, spec: Spec, max_pixels: int, most: int) -> np.ndarray:
    """Return the images [n, h, w, c]. Raises ProblemError 400 and 413."""
    expected = {IMAGE} | ({TARGET} if spec.domains else set()) | ({STYLE} if spec.style is not None else set())
    if IMAGE not in inputs.tensors or not set(inputs.tensors) <= expected:
        raise ProblemError(
            400, f"inputs are {', '.join(inputs.tensors) or 'missing'}; expected {', '.join(sorted(expected))}"
        )
    if not set(inputs.outputs) <= {TRANSLATION}:
        raise ProblemError(400, f"outputs are {', '.join(inputs.outputs)}; the only one is {TRANSLATION}")
    images = inputs.tensors[IMAGE]
    kind = tensors.NAMES[np.dtype(spec.dtype)]
    if images.ndim != 4 or images.shape[3] != spec.source.channels or images.dtype != spec.dtype:
        given = f"{tensors.NAMES[images.dtype]} {list(images.shape)}"
        raise ProblemError(400, f"{IMAGE} is {given}; expected {kind} [n, height, width, {spec.source.channels}]")
    if images.shape[1] * images.shape[2] > max_pixels:
        raise ProblemError(413, f"images of {images.shape[2]} x {images.shape[1]} have more than {max_pixels:,} pixels")
    if len(images) > most:
        raise ProblemError(413, f"{len(images)} images at once; the limit is {most}")
    return images


def _bound(inputs: tensors.Inputs, model: Model, count: int) -> list[Model]:
    """Return the model bound to the domain and the style of each image. Raises ProblemError 400."""
    given = dict(inputs.parameters)
    to, seed = given.pop("to", None), given.pop("seed", None)
    if given:
        raise ProblemError(400, f"no parameter {next(iter(given))!r}; there are to and seed")
    try:
        targets = _of_each(inputs.tensors.get(TARGET), TARGET, count)
        styles = _of_each(inputs.tensors.get(STYLE), STYLE, count)
        if to is not None and not isinstance(to, str):
            raise ValueError(f"to is {to!r}; expected a name")
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
            raise ValueError(f"seed is {seed!r}; expected a whole number")
        return [_bind(model, to, seed, *each) for each in zip(targets, styles, strict=True)]
    except ValueError as error:
        raise of_request(error) from error


def _bind(model: Model, to: str | None, seed: int | None, target: np.ndarray | None, style: StyleLike | None) -> Model:
    names: str | list[str] | None = to
    if target is not None:
        names = _names(model.spec, target)
    bound = model.toward(names)
    return bound if style is None and seed is None else bound.styled(style, seed=seed)


def _names(spec: Spec, target: np.ndarray) -> list[str] | str:
    """Return the domains that one image's second input stands for."""
    values = np.atleast_1d(target).ravel()
    if not spec.attributes:
        if len(values) != 1 or not 0 <= values[0] < len(spec.domains):
            raise ValueError(f"{TARGET} is {values.tolist()}; expected an index from 0 to {len(spec.domains) - 1}")
        return spec.domains[int(values[0])]
    if len(values) != len(spec.domains) or not set(values.tolist()) <= {0.0, 1.0}:
        raise ValueError(f"{TARGET} is {values.tolist()}; expected {plural(len(spec.domains), 'value')}, each 0 or 1")
    return [name for name, value in zip(spec.domains, values, strict=True) if value]


def _of_each(tensor: np.ndarray | None, name: str, count: int) -> list[np.ndarray] | list[None]:
    """Return the part of a second input that belongs to each image."""
    if tensor is None:
        return [None] * count
    if len(tensor) != count:
        raise ValueError(f"{name} has {plural(len(tensor), 'row')} for {plural(count, 'image')}")
    return list(tensor)


def _infer(served: Served, ticket: Ticket, decoded: MemoryLimit, image: np.ndarray, bound: Model) -> np.ndarray:
    """Run the model on one image [h, w, c], in a thread. Raises ProblemError."""
    spec = bound.spec
    made = image.nbytes // spec.source.channels * spec.target.channels * spec.scale**2
    try:
        with decoded.hold(image.nbytes + made), ticket.stage("infer"):
            result = served.infer_with(bound, ticket)(np.ascontiguousarray(image))
        processing.check_finite(result)
        return result
    except AbandonedError:
        raise
    except Exception as error:
        raise of(error) from error


def _written(
    facts: dict[str, Any], results: list[np.ndarray], binary: bool, decoded: MemoryLimit
) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of an answer, in a thread."""
    with decoded.hold(3 * sum(each.nbytes for each in results)):  # together, as bytes, and behind a head
        return tensors.write(facts, TRANSLATION, np.stack(results), binary)
