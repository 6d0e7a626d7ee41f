"""HTTP load generator with minimal overhead: closed loop, or open loop at a fixed rate.

One thread waits for all sockets with epoll. At 900 requests per second each costs it 64
microseconds of CPU time, with asyncio's streams 111. The server that it measures shares the cores.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CONNECTIONS = 192
"""Connections of the open loop; the server accepts 256 by default."""
RETRY_SECONDS = 0.05
"""Seconds until a client retries after status 429."""
ANSWER_SECONDS = 60.0
"""Seconds without any answer after which a measurement fails."""


@dataclass(frozen=True)
class Response:
    """The status of a request, the seconds since it was sent, and the time of its answer."""

    status: int
    seconds: float
    at: float


def request(path: str, kind: str, body: bytes) -> bytes:
    """Encode a POST request as HTTP/1.1 bytes."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def answered(responses: Sequence[Response]) -> list[Response]:
    """Return the responses with status 200."""
    return [one for one in responses if one.status == 200]


class _Client:
    """One keep-alive connection with at most one request in progress."""

    def __init__(self, place: tuple[str, int]) -> None:
        self._parts = b""
        self.socket = socket.create_connection(place)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent, self.waits, self.is_closed = 0.0, False, False

    def send(self, request: bytes) -> None:
        self.sent, self.waits = time.perf_counter(), True
        self.socket.sendall(request)

    def receive(self) -> Response | None:
        """Read what has arrived; returns the response once it is complete."""
        part = self.socket.recv(262_144)
        if not part and self.waits:
            raise ConnectionError("the server closed a connection without an answer")
        if not part:
            self.is_closed = True
            return None
        content = self._parts + part
        head = content.find(b"\r\n\r\n") + 4
        if head < 4 or len(content) < head + _content_length(content[:head]):
            self._parts = content
            return None
        self._parts, self.waits = b"", False
        now = time.perf_counter()
        return Response(int(content[9:12]), now - self.sent, now)


class _Clients:
    """Several connections, ``count`` at the start, and epoll to wait for them."""

    def __init__(self, url: str, count: int = 0) -> None:
        host, port = url.removeprefix("http://").split(":")
        self._place, self._epoll = (host, int(port)), select.epoll()
        self._by_number, self.idle = dict[int, _Client](), deque[_Client]()
        self.all = [self._open() for _ in range(count)]

    def _open(self) -> _Client:
        client = _Client(self._place)
        self._by_number[client.socket.fileno()] = client
        self._epoll.register(client.socket, select.EPOLLIN)
        return client

    def unused(self) -> _Client:
        """Return the connection that is idle for the longest time, or a new one.

        A server closes connections on which no request comes, so none is opened before its turn.
        """
        while self.idle:
            if not (client := self.idle.popleft()).is_closed:
                return client
        return self._open()

    def __enter__(self) -> "_Clients":
        return self

    def __exit__(self, *_: object) -> None:
        self._epoll.close()
        for one in self._by_number.values():
            one.socket.close()

    def responses(self, seconds: float) -> Iterator[tuple[_Client, Response]]:
        """Wait up to ``seconds``, then yield the responses that are complete.

        Forgets connections that the server closed because no request came.
        """
        for number, _ in self._epoll.poll(seconds):
            client = self._by_number[number]
            if response := client.receive():
                yield client, response
            elif client.is_closed:
                del self._by_number[number]
                client.socket.close()


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length: ")
    return int(rest[: rest.index(b"\r")])


def saturate(url: str, request: bytes, clients: int, seconds: float) -> list[Response]:
    """Closed loop: each client sends its next request when the previous one is answered.

    After a response with status 429 it waits `RETRY_SECONDS`.
    """
    responses, paused = [], deque[tuple[float, _Client]]()
    with _Clients(url, clients) as connected:
        end = time.perf_counter() + seconds
        for client in connected.all:
            client.send(request)
        waiting = clients
        while waiting:
            while paused and paused[0][0] <= time.perf_counter():
                paused.popleft()[1].send(request)
            wait = paused[0][0] - time.perf_counter() if paused else None
            for client, response in _some(connected, wait):
                responses.append(response)
                if response.at >= end:
                    waiting -= 1
                elif response.status == 429:
                    paused.append((response.at + RETRY_SECONDS, client))
                else:
                    client.send(request)
    return responses


def rate(url: str, request: bytes, *, clients: int, seconds: float) -> float:
    """Return the responses with status 200 per second that closed-loop ``clients`` reach."""
    began = time.perf_counter()
    responses = answered(saturate(url, request, clients, seconds))
    return len(responses) / (responses[-1].at - began) if responses else 0.0


def send_each(url: str, request: bytes, count: int) -> list[Response]:
    """Send a request ``count`` times, each after the response to the one before."""
    responses = []
    with _Clients(url, 1) as connected:
        for _ in range(count):
            connected.all[0].send(request)
            responses += [response for _, response in _some(connected)]
    return responses


def send_count(url: str, requests: Sequence[bytes], count: int) -> None:
    """Send ``count`` requests, cycling through ``requests``, with eight clients; retry on 429."""
    numbers = iter(range(count))
    with _Clients(url, 8) as connected:
        # Started in this order, and so that no client is left without a request.
        current = dict(zip(connected.all, numbers, strict=False))
        for client, number in current.items():
            client.send(requests[number % len(requests)])
        while current:
            for client, response in _some(connected):
                if response.status == 429:
                    time.sleep(RETRY_SECONDS)
                elif (following := next(numbers, None)) is None:
                    del current[client]
                    continue
                else:
                    current[client] = following
                client.send(requests[current[client] % len(requests)])


def _some(connected: _Clients, most: float | None = None) -> list[tuple[_Client, Response]]:
    """Wait until at least one response is complete, or for ``most`` seconds."""
    if most is not None:
        return list(connected.responses(max(0.0, most)))
    deadline = time.perf_counter() + ANSWER_SECONDS
    while not (found := list(connected.responses(1.0))):
        if time.perf_counter() > deadline:
            raise TimeoutError(f"the server answered nothing in {ANSWER_SECONDS:g} seconds")
    return found


def offer(url: str, request: bytes, *, rate: float, seconds: float) -> list[Response]:
    """Open loop: send requests at a fixed rate, limited by ``CONNECTIONS``.

    A request that is due while all connections wait is sent as soon as one is free. Returns the
    responses to what was sent within ``seconds``.
    """
    responses, sent, busy = [], 0, 0
    with _Clients(url) as connected:
        began = time.perf_counter()
        while (now := time.perf_counter() - began) < seconds or busy:
            due = min(int(now * rate) - sent, CONNECTIONS - busy) if now < seconds else 0
            due = max(0, due)
            for _ in range(due):
                connected.unused().send(request)
            sent, busy = sent + due, busy + due
            wait = (sent + 1) / rate - now if busy < CONNECTIONS and now < seconds else 1.0
            for client, response in connected.responses(min(1.0, max(0.0, wait))):
                responses.append(response)
                connected.idle.append(client)
                busy -= 1
            if now > seconds + ANSWER_SECONDS:
                raise TimeoutError(f"no answer in {ANSWER_SECONDS:g} seconds")
    return responses


def capacity(url: str, request: bytes, *, rate: float, seconds: float) -> float:
    """Return the highest throughput in responses/s, raising the offered ``rate`` step by step.

    Ends after two steps without a gain of a tenth: other work on the machine can spoil one.
    """
    best, misses = 0.0, 0
    while misses < 2:
        found = len(answered(offer(url, request, rate=rate, seconds=seconds))) / seconds
        misses = misses + 1 if found <= 1.1 * best else 0
        best, rate = max(best, found), 1.5 * rate
    return best
