"""Run a service: the socket, the signals, and the order of starting and stopping."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import uvicorn

from i2i.runtime.system.host import cores, limit_arenas
from i2i.serving.settings import Settings
from i2i.serving.web.app import application
from i2i.serving.web.connection import limited
from i2i.serving.web.guard import is_loopback, to_stderr
from i2i.serving.web.siblings import Siblings
from i2i.serving.work.service import Service

WATCH = 2.0
"""Seconds between two looks at the files of the models."""
KEEP_ALIVE = 60
"""Seconds for which a connection may be idle."""
BACKLOG = 256
"""Connections that wait for the service to accept them."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_FROM_PARENT = (signal.SIGINT,)
"""What the parent of several processes sends for its second signal. SIGTERM may come twice for its first one: from the
parent, and from a service manager that sends it to all processes."""


class Shared(NamedTuple):
    """Socket and siblings of a process that accepts from the same port as others.

    Attributes:
        private: bound, for the siblings' requests.
        late: True to take requests only once the models are loaded, since the others take them meanwhile.
    """

    siblings: Siblings
    private: socket.socket
    late: bool


class _Server(uvicorn.Server):
    """A uvicorn that ends with its service, and whose signals belong to :func:`serve`."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or []:
            each.listen(BACKLOG)  # asyncio has set that of the configuration

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._service.stopping


def serve(
    sources: Sequence[str],
    settings: Settings,
    say: Callable[[str], object],
    log: Callable[[str], object] = to_stderr,
) -> None:
    """Serve models until SIGTERM or Ctrl-C, then finish what was accepted.

    Args:
        sources: models as ``ModelStore`` takes them.
        say: called with messages for the user.
        log: called with each line of the access log.

    Raises ModelError, ProviderError and ValueError for models that cannot be loaded, and OSError for an address that
    cannot be bound.
    """
    settings.token()  # refuses a wrong file before anything is loaded
    prepare_process()
    bound = bind(settings.host, settings.port)
    try:
        announce(settings, bound, say)
        asyncio.run(run(Service(sources, settings), bound, say, log))
    finally:
        bound.close()


def prepare_process() -> None:
    """Set what holds for a whole process: memory in few heaps, and fewer warnings.

    Libraries warn of malformed requests, which are answered, and in the access log.
    """
    limit_arenas(max(2, cores() // 4))
    for name in ("uvicorn", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OSError, which names the address."""
    try:
        # With the protocol named, since asyncio sets TCP_NODELAY on no other socket, and the second packet of an answer
        # waits 40 ms without it.
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
    except OSError as error:
        raise OSError(f"{host}:{port}: {error.strerror or error}") from error
    try:
        if os.name == "posix":  # a port whose last connections are still closing; elsewhere it would share a used one
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise OSError(f"{host}:{port}: {error.strerror or error}") from error
    bound.setblocking(False)
    return bound


def announce(settings: Settings, bound: socket.socket, say: Callable[[str], object]) -> None:
    """Say where the service listens, and who may use it."""
    host, port = bound.getsockname()[:2]
    say(f"serving on http://{f'[{host}]' if ':' in host else host}:{port}; loading the models")
    if not is_loopback(settings.host) and settings.token_file is None:
        say("warning: everybody who reaches this address may use the service; --token-file asks for a token")


async def run(
    service: Service,
    bound: socket.socket,
    say: Callable[[str], object],
    log: Callable[[str], object],
    shared: Shared | None = None,
) -> None:
    """Serve on a listening socket until ``service.stop`` is called. Raises what loading the models raises."""
    settings = service.settings
    server = _Server(
        uvicorn.Config(
            application(service, log, shared and shared.siblings),
            http=limited(settings.max_connections),  # type: ignore[arg-type]  # called as a class
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            # Connections that are accepted in one turn of the loop: one, where other processes may take the next.
            backlog=BACKLOG if shared is None else 1,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=max(1, round(settings.drain)),
        ),
        service,
    )
    service.metrics.watch("i2i_connections", lambda: len(server.server_state.connections))
    with _signals(service, server, say, _SIGNALS if shared is None else _FROM_PARENT):
        if shared is not None and shared.late:
            await service.start()
        background = asyncio.create_task(_prepare(service, say))
        memory = asyncio.create_task(service.release_memory())
        try:
            await server.serve([bound] if shared is None else [bound, shared.private])
        finally:
            service.stop()
            background.cancel()
            memory.cancel()
            done = await asyncio.gather(background, memory, return_exceptions=True)
            await asyncio.to_thread(service.close)
    if isinstance(done[0], Exception):
        raise done[0]


async def _prepare(service: Service, say: Callable[[str], object]) -> None:
    """Load the models, then look for changed ones; stop the service if they cannot be loaded."""
    try:
        if not service.ready:
            await service.start()
    except Exception:
        service.stop()
        raise
    names = ", ".join(f"{each.name} ({each.model.provider})" for each in service.store.all())
    say(f"ready: {names}")
    while service.settings.watch:
        await asyncio.sleep(WATCH)
        try:
            await service.refresh(settled=True)
        except Exception:  # of a bug; the models that are loaded go on
            logging.getLogger("i2i.serving").exception("the models could not be looked at")


@contextlib.contextmanager
def _signals(
    service: Service, server: _Server, say: Callable[[str], object], urgent: Sequence[int] = _SIGNALS
) -> Iterator[None]:
    """Handle signals: SIGTERM and Ctrl-C stop, a second one among ``urgent`` at once; SIGHUP loads changed models."""
    if threading.current_thread() is not threading.main_thread():  # signals are the host's
        yield
        return
    loop = asyncio.get_running_loop()
    reloads: set[asyncio.Task[None]] = set()

    def stop(number: int) -> None:
        server.force_exit |= service.stopping and number in urgent
        if not service.stopping:
            say("stopping: finishing what was accepted")
        service.stop()

    def reload() -> None:
        task = asyncio.ensure_future(service.refresh())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    handled: dict[int, Callable[[], None]] = {number: partial(stop, number) for number in _SIGNALS}
    if hasattr(signal, "SIGHUP"):
        handled[signal.SIGHUP] = reload
    for number, handler in handled.items():
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handled:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
