# SPDX-License-Identifier: Apache-2.0
"""The origins: a fast one that all servers are filled from, and one that takes its time over every body."""
import asyncio
import threading
import time
import urllib.request

from peers.servers import Server, nginx_head, nginx_program
from peers.stage import ADDRESS

CACHE_CONTROL = "max-age=86400"

_STATIC = """
    add_header Cache-Control "{cache_control}";
    server {{
        listen {address}:{port} backlog=4096;
        root {root};
        location /many/ {{ rewrite ^ /{many} break; }}
        location = /count {{ stub_status; }}
    }}
}}
"""


class StaticOrigin(Server):
    """nginx with static files. Every path under /many/ is the same file, `many`."""
    name = "origin"

    def __init__(self, folder, root, many, core=None):
        super().__init__(folder, None, core, root=root)
        self.many = many
        self._asked = 0

    def command(self):
        path = self.folder / "nginx.conf"
        path.write_text(nginx_head(self.folder, 1) + _STATIC.format(
            cache_control=CACHE_CONTROL, address=ADDRESS, port=self.port, root=self.root, many=self.many))
        return [nginx_program(), "-c", str(path), "-p", str(self.folder)]

    def requests(self):
        """How many it has been sent so far, those of this method left out."""
        self._asked += 1
        with urllib.request.urlopen(f"http://{ADDRESS}:{self.port}/count") as response:
            return int(response.read().split(b"\n")[2].split()[2]) - self._asked


class SlowOrigin:
    """Sends a body of `size` bytes for any request, evenly over `duration_s`; the first bytes come at once."""

    TICK_S = 0.02

    def __init__(self, size, duration_s):
        self.size, self.duration_s = size, duration_s
        self.requests = 0
        self.first_ended_ns = None  # CLOCK_MONOTONIC, when the first body had been sent
        self._block = b"x" * (1 << 16)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self):
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _serve(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._talk, ADDRESS, 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()

    async def _talk(self, reader, writer):
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                await self._send(writer)
                if self.first_ended_ns is None:
                    self.first_ended_ns = time.monotonic_ns()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _send(self, writer):
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nCache-Control: {CACHE_CONTROL}\r\n"
                     f"Content-Length: {self.size}\r\n\r\n".encode())
        began, sent = time.monotonic(), 0
        while sent < self.size:
            passed = time.monotonic() - began + self.TICK_S
            due = min(self.size, int(self.size * passed / self.duration_s))
            while sent < due:
                block = self._block[:due - sent]
                writer.write(block)
                sent += len(block)
            await writer.drain()
            if sent < self.size:
                await asyncio.sleep(self.TICK_S)
