"""A client that asks a server as fast as it can, or at a rate, with as little work of its own."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

CONNECTIONS = 192
"""From which requests are offered; a server takes 256 by default."""
AGAIN = 0.05
"""Seconds until a client that was told to come back does."""


@dataclass(frozen=True)
class Answer:
    """The status of a request; seconds from its sending, or from the start where that is said."""

    status: int
    seconds: float


def request(path: str, kind: str, body: bytes) -> bytes:
    """Write a request, as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def rate(answers: list[Answer]) -> float:
    """Answered requests for each second of the time in which there were any."""
    answered = sum(one.status == 200 for one in answers)
    return answered / answers[-1].seconds if answered else 0.0


class _Client:
    """One connection, which asks and waits: as little work as a client can have."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._place = host, int(port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
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


async def saturate(url: str, request: bytes, clients: int, seconds: float) -> list[Answer]:
    """Ask with so many clients, each as soon as it is answered; seconds are since the start."""
    began, answers = time.perf_counter(), []

    async def ask() -> None:
        client = _Client(url)
        while time.perf_counter() - began < seconds:
            status = await client.ask(request)
            answers.append(Answer(status, time.perf_counter() - began))
        client.close()

    await asyncio.gather(*(ask() for _ in range(clients)))
    return answers


async def count(url: str, requests: Sequence[bytes], count: int) -> None:
    """Have so many requests answered, these in turn, by eight clients; told to, they come back."""
    waiting = iter(range(count))

    async def ask() -> None:
        client = _Client(url)
        for number in waiting:
            while await client.ask(requests[number % len(requests)]) == 429:
                await asyncio.sleep(AGAIN)
        client.close()

    await asyncio.gather(*(ask() for _ in range(8)))


async def offer(url: str, request: bytes, *, rate: float, seconds: float) -> list[Answer]:
    """Ask at a rate, answered or not, or as near to it as ``CONNECTIONS`` come."""
    began, answers = time.perf_counter(), []
    due = iter(began + number / rate for number in range(int(rate * seconds)))

    async def ask() -> None:
        client = _Client(url)
        for at in due:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            sent = time.perf_counter()
            if sent - began > seconds:
                break
            status = await client.ask(request)
            answers.append(Answer(status, time.perf_counter() - sent))
        client.close()

    await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return answers


async def capacity(url: str, request: bytes, *, rate: float, seconds: float) -> float:
    """Give the most answers a second that are had by asking ever faster, from ``rate`` on."""
    best = 0.0
    while True:
        answers = await offer(url, request, rate=rate, seconds=seconds)
        answered = sum(one.status == 200 for one in answers) / seconds
        if answered < 1.1 * best:
            return max(best, answered)
        best, rate = answered, 1.5 * rate
