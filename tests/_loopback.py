"""A web application on a free port of this machine, in a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web


@contextmanager
def loopback(app: web.Application) -> Iterator[str]:
    """The base URL, which ends in `/v1`, while it is served; many may connect at once."""
    loop = asyncio.new_event_loop()
    up, stop = threading.Event(), asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
            urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
            up.set()
            await stop.wait()
        finally:
            await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert up.wait(20)
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
