"""A full server answers 429 from the head of a request, as it would have done later."""

import json
import re
import socket
import threading
from contextlib import ExitStack, contextmanager

import pytest
from PIL import Image
from tests.support.bundles import made, quarter
from tests.support.invalid_images import encoded

from unveil.serving import tokens
from unveil.serving.connection_limits import MAX_HEAD
from unveil.serving.declared_purpose import Purpose
from unveil.serving.run import Server, server_config
from unveil.serving.server_setup import assemble
from unveil.serving.settings import Settings

FACE = encoded(Image.fromarray(quarter(0)))
LENGTH = len(FACE)
ORIGIN = "https://page.example"


@contextmanager
def served(folder, **changed):
    """Serve with all middleware in a thread; yields the state and the address."""
    purpose = "see that requests are refused"
    paths = {"audit": folder / "audit.jsonl", "keep": folder / "keep"}
    settings = Settings(purpose, bundle=made(folder / "b"), body_seconds=2, **paths, **changed)
    state = assemble(settings, Purpose(purpose))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(server_config(state), state)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield state, listening.getsockname()
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def server(tmp_path):
    with served(tmp_path, allow_origin=(ORIGIN,), waiting=1) as given:
        yield given


def head(path="/v1/predict", method="POST", length=LENGTH, host="localhost", extra="") -> bytes:
    lines = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: image/png\r\n"
    return f"{lines}content-length: {length}\r\n{extra}\r\n".encode()


def response(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    content = b""
    while b"\r\n\r\n" not in content:
        content += (part := connection.recv(65536))
        assert part, content
    lines, _, body = content.partition(b"\r\n\r\n")
    status, *rest = lines.decode().splitlines()
    headers = dict(line.split(": ", 1) for line in rest)
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(status.split()[1]), headers, body


@contextmanager
def full(state):
    """Fill the queue of a server."""
    with ExitStack() as places:
        while not state.pipeline.queues.light.is_full:
            places.enter_context(state.pipeline.queues.light.admit())
        yield


def ask(address, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
    with socket.create_connection(address, timeout=30) as connection:
        for part in parts:
            connection.sendall(part)
        return response(connection)


@pytest.mark.fault("more requests than can be answered, from their heads")
def test_a_full_server_refuses_before_the_body_is_sent(server):
    state, address = server
    with full(state):
        early = ask(address, head())
        # A page's origin goes the usual way, through all middleware, after its body.
        usual = ask(address, head(extra=f"origin: {ORIGIN}\r\n"), FACE)
    assert early[0] == usual[0] == 429
    assert json.loads(early[2]) == json.loads(usual[2])
    assert early[1].items() <= usual[1].items()
    assert early[1]["retry-after"] == "1"
    assert "frame-ancestors 'none'" in early[1]["content-security-policy"]
    counted = state.metrics.text().decode()
    assert 'unveil_requests_total{route="/v1/predict",status="429"} 2.0' in counted


def test_the_connection_of_a_refused_request_is_used_again(server):
    state, address = server
    with socket.create_connection(address, timeout=30) as connection:
        with full(state):
            for _ in range(2):
                connection.sendall(head() + FACE)
                assert response(connection)[0] == 429
        connection.sendall(head() + FACE)
        status, _, body = response(connection)
    assert status == 200
    assert json.loads(body)["faces"][0]["emotion"] == "happy"


@pytest.mark.fault("a slow client, refused early")
def test_a_refused_request_whose_body_does_not_arrive_is_disconnected(server):
    state, address = server
    with full(state), socket.create_connection(address, timeout=30) as connection:
        connection.sendall(head())
        assert response(connection)[0] == 429
        assert connection.recv(1) == b""


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"host": "evil.example"}, 400),
        ({"length": 9_000_000_000}, 413),
        ({"extra": "content-encoding: gzip\r\n"}, 415),
        ({"path": "/v1/unknown"}, 404),
        ({"method": "PUT"}, 429),
        ({"extra": "connection: close\r\n"}, 429),
        ({"host": "localhost:8000"}, 429),
    ],
)
def test_other_answers_of_a_full_server_stay_the_same(server, changed, status):
    state, address = server
    with full(state):
        assert ask(address, head(**changed), FACE)[0] == status


def test_a_full_server_refuses_a_missing_token_first(tmp_path):
    path = tmp_path / "tokens.json"
    token = tokens.issue(path, "kiosk")
    with served(tmp_path, token_file=path, waiting=1) as (state, address), full(state):
        for shown, status in ((token, 429), ("wrong", 401)):
            answer = ask(address, head(extra=f"authorization: Bearer {shown}\r\n"), FACE)
            assert answer[0] == status
        assert ask(address, head(), FACE)[0] == 401


@pytest.mark.fault("a head without end")
@pytest.mark.parametrize("lines", [1, 5000])
def test_a_head_that_is_too_long_is_refused(server, lines):
    _, address = server
    part = f"x: {'a' * (6 * MAX_HEAD // lines)}\r\n"
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(head()[:-2] + (part * lines).encode())
        assert re.match(rb"HTTP/1.1 400 ", connection.recv(65536))


def test_a_response_without_a_body_is_sent(server):
    _, address = server
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(b"HEAD /static/page.js HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
