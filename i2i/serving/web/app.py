"""The application: which address leads where."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from i2i.runtime.model import targets
from i2i.serving import metrics
from i2i.serving.problems import ProblemError
from i2i.serving.web.bodies import Memory
from i2i.serving.web.guard import App, Guard
from i2i.serving.web.inference import Protocol
from i2i.serving.web.jobs import VideoJobs
from i2i.serving.web.openapi import document
from i2i.serving.web.siblings import Siblings
from i2i.serving.web.translate import Translate
from i2i.serving.work.served import Served
from i2i.serving.work.service import Service

_SCRIPT = "text/javascript; charset=utf-8"
_PAGE = {
    "index.html": "text/html; charset=utf-8", "style.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
    "app.js": _SCRIPT, "viewer.js": _SCRIPT, "webcam.js": _SCRIPT, "backend.js": _SCRIPT,
}  # fmt: skip
_FILES = {"backend.js": "service.js"}  # of a page for browsers alone it is another one, see i2i/serving/static.py
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def application(service: Service, log: Callable[[str], object], siblings: Siblings | None = None) -> App:
    """Return the ASGI application of a service; ``log`` is called with each line of the access log.

    ``siblings`` are other processes of the same service, if there are any.
    """
    memory = Memory(service.most_body_bytes)
    service.metrics.watch("i2i_body_bytes", lambda: memory.used)
    protocol, videos = Protocol(service, memory), VideoJobs(service)

    async def models(request: Request) -> Response:
        request.state.trace.endpoint = "models"
        return JSONResponse({"models": [_about(each) for each in service.store.all()]})

    async def numbers(request: Request) -> Response:
        request.state.trace.endpoint = "metrics"
        text = service.metrics.text()
        if siblings is not None:
            text = await siblings.metrics(request, text)
        return Response(text, media_type=metrics.TYPE)

    async def openapi(request: Request) -> Response:
        request.state.trace.endpoint = "openapi"
        return JSONResponse(document([each.name for each in service.store.all()]))

    async def ready(request: Request) -> Response:
        answer = await protocol.ready(request)
        if answer.status_code == 200 and siblings is not None and not await siblings.ready(request):
            return JSONResponse({"ready": False}, 503)
        return answer

    async def job(request: Request) -> Response:
        if siblings is not None and (owner := siblings.owner(request.path_params["job"])) is not None:
            request.state.trace.endpoint = "job"
            return await siblings.relay(request, owner)
        if request.url.path.endswith("/result"):
            return await videos.result(request)
        return await (videos.cancel if request.method == "DELETE" else videos.status)(request)

    translate = Translate(service, memory)

    async def translated(request: Request) -> Response:
        return await translate(request)

    routes: list[tuple[str, str, Any]] = [
        ("GET", "/", _page), ("GET", "/page/{file}", _page), ("GET", "/openapi.json", openapi),
        ("GET", "/metrics", numbers), ("GET", "/v1/models", models),
        ("POST", "/v1/translate/{model}", translated), ("POST", "/v1/video", videos.create),
        ("GET DELETE", "/v1/jobs/{job}", job),
        ("GET", "/v1/jobs/{job}/result", job),
        ("GET", "/v2", protocol.server), ("GET", "/v2/health/live", protocol.live),
        ("GET", "/v2/health/ready", ready),
    ]  # fmt: skip
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            ("GET", prefix, protocol.model), ("GET", f"{prefix}/ready", protocol.model_ready),
            ("POST", f"{prefix}/infer", protocol.infer),
        ]  # fmt: skip
    router = Router(
        [Route(path, end, methods=methods.split()) for methods, path, end in routes], redirect_slashes=False
    )
    return Guard(router, service.settings, service.metrics, log)


async def _page(request: Request) -> Response:
    """Return a file of the page; it loads nothing from any other host."""
    request.state.trace.endpoint = "page"
    file = request.path_params.get("file", "index.html")
    if file not in _PAGE:
        raise ProblemError(404, "there is nothing at this address")
    return Response(_read(file), headers={"Content-Security-Policy": _POLICY}, media_type=_PAGE[file])


@cache
def _read(file: str) -> bytes:
    return (resources.files("i2i.serving.web") / "page" / _FILES.get(file, file)).read_bytes()


def _about(served: Served) -> dict[str, Any]:
    """Return a model as JSON, for clients that choose one."""
    model, spec = served.model, served.model.spec
    return {
        "name": served.name, "version": served.version, "way": targets.way(spec), "source": spec.source.name,
        "target": spec.target.name, "domains": list(spec.domains), "attributes": spec.attributes,
        "styles": spec.style is not None, "channels": spec.source.channels, "scale": spec.scale,
        "provider": model.provider,
    }  # fmt: skip
