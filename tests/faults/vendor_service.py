"""A vendor's HTTP service on a real socket: one call per row, external ids that are not unique, no idempotency keys.

It may not do what it is asked for, keep its answer to itself, or do it only once its caller has gone.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import h11


@dataclass
class Service:
    """Of so many calls one is not done (`deaf`), done without an answer (`silent`), or done once its caller has gone
    (`late`)."""

    deaf: int = 5
    silent: int = 3
    late: int = 4
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    port: int = 0
    calls: int = 0
    _keys: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @contextmanager
    def serving(self) -> Iterator[None]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._talk, "127.0.0.1", 0), loop).result(30)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(self._end(server), loop).result(30)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(30)
            loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request per connection."""
        connection = h11.Connection(h11.SERVER)
        request, body = None, b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
        if request is not None and isinstance(event, h11.EndOfMessage):
            answer = await self._answer(request.method.decode(), request.target.decode(), body, reader)
            if answer is not None:
                text = json.dumps(answer).encode()
                headers = [("content-length", str(len(text))), ("connection", "close")]
                writer.write(connection.send(h11.Response(status_code=200, headers=headers)) or b"")
                writer.write(connection.send(h11.Data(text)) or b"")
        writer.close()

    async def _answer(self, method: str, path: str, body: bytes, caller: asyncio.StreamReader) -> Any:
        if method == "GET":
            named = path.partition("?ext=")[2]
            found = [key for key, row in self.rows.items() if path == f"/rows/{key}" or row["ext"] == named]
            return [{"key": key, "values": self.rows[key]["values"]} for key in found]
        self.calls += 1
        number = self.calls
        if number % self.deaf == 0:
            return None
        if number % self.late == 0:
            await caller.read()  # until he has gone
        asked = json.loads(body)
        if method == "POST":
            key = f"V{next(self._keys)}"
            self.rows[key] = {"ext": asked["ext"], "values": asked["values"]}
        else:
            key = path.removeprefix("/rows/")
            self.rows[key]["values"] |= asked["values"]
        return None if number % self.silent == 0 else {"key": key}
