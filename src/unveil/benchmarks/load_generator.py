"""HTTP load generator with minimal overhead: closed loop, or open loop at a fixed rate."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 192
"""Connections of the open loop; the server accepts 256 by default."""
RETRY_SECONDS = 0.05
"""Seconds until a client retries after status 429."""


@dataclass(frozen=True)
class Response:
    """The status of a request; seconds since it was sent, or since the start of `saturate`."""

    status: int
    seconds: float


def request(path: str, kind: str, body: bytes) -> bytes:
    """Encode a POST request as HTTP/1.1 bytes."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def rate(responses: list[Response]) -> float:
    """Return responses with status 200 per second until the last response."""
    answered = sum(one.status == 200 for one in responses)
    return answered / responses[-1].seconds if answered else 0.0


class _Client:
    """One keep-alive connection that sends a request and waits for the response."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._place = host, int(port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._place)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        if b"connection: close" in head.lower():
            self.close()
        return int(head.split()[1])

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def saturate(url: str, request: bytes, clients: int, seconds: float) -> list[Response]:
    """Closed loop: each client sends its next request when the previous one is answered.

    The responses' seconds are since the start.
    """
    began, responses = time.perf_counter(), []

    async def worker() -> None:
        client = _Client(url)
        while time.perf_counter() - began < seconds:
            status = await client.send(request)
            responses.append(Response(status, time.perf_counter() - began))
        client.close()

    await asyncio.gather(*(worker() for _ in range(clients)))
    return responses


async def send_count(url: str, requests: Sequence[bytes], count: int) -> None:
    """Send ``count`` requests, cycling through ``requests``, with eight clients; retry on 429."""
    waiting = iter(range(count))

    async def worker() -> None:
        client = _Client(url)
        for number in waiting:
            while await client.send(requests[number % len(requests)]) == 429:
                await asyncio.sleep(RETRY_SECONDS)
        client.close()

    await asyncio.gather(*(worker() for _ in range(8)))


async def offer(url: str, request: bytes, *, rate: float, seconds: float) -> list[Response]:
    """Open loop: send requests at a fixed rate, limited by ``CONNECTIONS``."""
    began, responses = time.perf_counter(), []
    due = iter(began + number / rate for number in range(int(rate * seconds)))

    async def worker() -> None:
        client = _Client(url)
        for at in due:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            sent = time.perf_counter()
            if sent - began > seconds:
                break
            status = await client.send(request)
            responses.append(Response(status, time.perf_counter() - sent))
        client.close()

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return responses


async def capacity(url: str, request: bytes, *, rate: float, seconds: float) -> float:
    """Return the highest throughput in responses/s, raising the offered ``rate`` step by step."""
    best = 0.0
    while True:
        responses = await offer(url, request, rate=rate, seconds=seconds)
        answered = sum(one.status == 200 for one in responses) / seconds
        if answered < 1.1 * best:
            return max(best, answered)
        best, rate = answered, 1.5 * rate
