"""The outermost layer: who may ask, what is logged and counted, and how errors look."""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import re
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from i2i.serving.metrics import Metrics
from i2i.serving.problems import ProblemError, of
from i2i.serving.settings import Settings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

CLIENT_GONE = 499
"""Status in the log of a request whose client left, as nginx has it."""

_HEALTH = ("/v2/health/live", "/v2/health/ready")
_OPEN = re.compile(r"/|/page/[\w.]+|" + "|".join(_HEALTH))
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_log = logging.getLogger("i2i.serving")


@dataclass
class Trace:
    """Facts about one request, for the log and the metrics; endpoints add to them."""

    id: str
    endpoint: str = "other"
    model: str = ""
    stages: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    sent: int = 0


class Guard:
    """Middleware around the whole application."""

    def __init__(self, app: App, settings: Settings, metrics: Metrics, log: Callable[[str], object]) -> None:
        self._app, self._metrics, self._log = app, metrics, log
        self._settings, self._token = settings, settings.token()
        self._hosts = _hosts(settings)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, headers = time.perf_counter(), Headers(scope=scope)
        trace = Trace(uuid.uuid4().hex[:16])
        scope.setdefault("state", {})["trace"] = trace
        scope["app"] = self  # or the router answers unknown addresses itself, as text

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.status = message["status"]
                added = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in _HEADERS.items():
                    added.setdefault(name, value)
                added["X-Request-Id"] = trace.id
            else:
                trace.sent += len(message.get("body", b""))
            await send(message)

        try:
            self._check(scope, headers)
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            trace.status = CLIENT_GONE
        except Exception as error:
            if trace.status:  # the answer has begun: all that is left is to cut it
                trace.status = CLIENT_GONE
                raise
            await problem_response(error, scope["path"])(scope, receive, answer)
        finally:
            self._record(scope, trace, time.perf_counter() - start)

    def _check(self, scope: MutableMapping[str, Any], headers: Headers) -> None:
        """Raise ProblemError for a request that is not to be served."""
        host = headers.get("host", "")
        if not host:
            raise ProblemError(400, "the header Host is missing")
        # Health, which says nothing to a page of another name, is asked for on 127.0.0.1 within a container.
        named = self._hosts is None or _name(host) in self._hosts or scope["path"] in _HEALTH
        if not named:
            raise ProblemError(
                403, f"the service is not called {_name(host)!r}; --allowed-host adds a name (of a proxy, say)"
            )
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin is not None and origin.partition("://")[2] != host:
            raise ProblemError(403, "requests from pages of other origins are refused")
        if self._token is not None and not _OPEN.fullmatch(scope["path"]):
            kind, _, given = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
                raise ProblemError(401, "a bearer token is needed", {"WWW-Authenticate": 'Bearer realm="i2i"'})

    def _record(self, scope: MutableMapping[str, Any], trace: Trace, seconds: float) -> None:
        metrics = self._metrics
        metrics.requests.labels(trace.endpoint, trace.model, trace.status).inc()
        metrics.latency.labels(trace.endpoint, trace.model).observe(seconds)
        if not self._settings.access_log:
            return
        client = scope.get("client")
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "id": trace.id,
            "client": client[0] if client else "", "method": scope["method"], "path": scope["path"],
            "status": trace.status, "ms": round(1000 * seconds, 2), "sent": trace.sent,
        }  # fmt: skip
        if trace.model:
            line["model"] = trace.model
        stages = dict(trace.stages)  # a worker whose request was given up may add one at any time
        line |= {f"{stage}_ms": round(1000 * spent, 2) for stage, spent in stages.items()}
        self._log(json.dumps(line | trace.facts, ensure_ascii=True))


def problem_response(error: Exception, path: str) -> Response:
    """Return the answer to an error: problem details; under /v2 with the member ``error``, as its protocol has it."""
    problem = _problem(error)
    if problem.status >= 500 and problem.status not in (503, 504, 507):
        _log.error("%s: %s", path, problem.detail, exc_info=error)
    document = problem.document()
    protocol = path.startswith("/v2/")
    if protocol:
        document["error"] = problem.detail
    kind = "application/json" if protocol else "application/problem+json"
    return Response(json.dumps(document), problem.status, problem.headers, kind)


def _problem(error: Exception) -> ProblemError:
    if isinstance(error, HTTPException):
        detail = {404: "there is nothing at this address", 405: "this address does not take this method"}
        return ProblemError(error.status_code, detail.get(error.status_code, error.detail), dict(error.headers or {}))
    return of(error)


def _name(host: str) -> str:
    """Return the header Host without its port."""
    return (host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and ":" in host else host).lower()


def _hosts(settings: Settings) -> set[str] | None:
    """Return the names by which the service may be asked; None: any.

    A service on loopback is protected from pages whose host name was made to lead to this machine (DNS rebinding). One
    that listens to a network has names that it does not know.
    """
    names = {name.lower() for name in settings.allowed_hosts}
    if not is_loopback(settings.host):
        return names or None
    return names | {*_LOOPBACK, settings.host.lower()}


def is_loopback(host: str) -> bool:
    """True if only this machine reaches the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def to_stderr(line: str) -> None:
    """Write one line of the access log."""
    sys.stderr.write(line + "\n")
