"""Work for a client that may leave, and work in several parts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from i2i.serving.work.ticket import FAILED, Ticket

Result = TypeVar("Result")


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what ``work`` returns; cancel it and raise ClientDisconnect once the client has left.

    The body must have been read.
    """
    task, gone = asyncio.create_task(work), asyncio.create_task(_left(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.wait({task, gone})


async def all_or_none(parts: Iterable[Coroutine[Any, Any, Result]], ticket: Ticket) -> list[Result]:
    """Return what all of them return. The first error cancels the others, abandons their ticket, and is raised."""

    async def one(part: Coroutine[Any, Any, Result]) -> Result:
        try:
            return await part
        except Exception:
            ticket.abandon(FAILED)
            raise

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(part)) for part in parts]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return [task.result() for task in tasks]


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
