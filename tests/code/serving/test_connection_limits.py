"""Requests that are valid but unusual are answered; connections that would cost too much end."""

import socket
import time

import httpx
import pytest
from tests.code.serving.test_early_refusal import FACE, LENGTH, full, head, response, served

from unveil.serving.connection_limits import MAX_HEAD, MAX_WAITING

H2C = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQ\r\n"
SECONDS = 2  # the timeout of the server


@pytest.fixture
def server(tmp_path):
    with served(tmp_path) as given:
        yield given


def connected(address) -> socket.socket:
    """Connect so that each call sends a packet of its own, as a rule."""
    connection = socket.create_connection(address, timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ended(connection: socket.socket, within: float) -> float:
    """Wait until the server closes the connection; return after how many seconds."""
    began = time.monotonic()
    connection.settimeout(within)
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - began


@pytest.mark.parametrize("parts", [1, 2], ids=["one packet", "two packets"])
def test_a_client_that_asks_for_http_2_is_answered_in_http_1(server, parts):
    _, address = server
    content = head(extra=H2C) + FACE
    with connected(address) as connection:
        for start in range(parts):
            connection.sendall(
                content[start * len(content) // parts :][: len(content) // parts + 1]
            )
        status, _, body = response(connection)
        assert (status, b'"faces"' in body) == (200, True)
        connection.sendall(head() + FACE)
        assert response(connection)[0] == 200


def test_waiting_requests_of_one_connection_are_answered_in_turn(server):
    _, address = server
    with connected(address) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" * MAX_WAITING)
        content = b""
        while content.count(b'{"status":"alive"}') < MAX_WAITING:
            content += (part := connection.recv(65536))
            assert part, content


@pytest.mark.fault("a client that sends requests without reading responses")
def test_more_requests_than_may_wait_end_the_connection(server):
    _, address = server
    with connected(address) as connection:
        connection.sendall(b"GET /v1/model HTTP/1.1\r\nhost: localhost\r\n\r\n" * 5000)
        assert ended(connection, 30) < 30
    assert httpx.get(f"http://127.0.0.1:{address[1]}/healthz").status_code == 200


@pytest.mark.fault("a client that sends a blank line after its request")
def test_a_blank_line_after_a_request_does_not_keep_the_connection(server):
    _, address = server
    with connected(address) as connection:
        connection.sendall(head() + FACE)
        assert response(connection)[0] == 200
        connection.sendall(b"\r\n")
        assert ended(connection, 20 * SECONDS) < 10 * SECONDS


@pytest.mark.fault("trailers without end")
def test_trailers_have_a_limit(server):
    _, address = server
    start = head(extra="transfer-encoding: chunked\r\n").replace(
        f"content-length: {LENGTH}\r\n".encode(), b""
    )
    with connected(address) as connection:
        connection.sendall(start + b"0\r\nx: ")
        with pytest.raises(ConnectionError):
            for _ in range(400):
                connection.sendall(b"a" * 65536)


def test_a_body_between_two_heads_is_no_head(server):
    _, address = server
    picture = FACE + b"\0" * (MAX_HEAD + 1000)
    first, second = head(length=len(picture)), head()
    with connected(address) as connection:
        connection.sendall(first[:20])
        connection.sendall(first[20:] + picture + second[:20])
        assert response(connection)[0] == 200
        connection.sendall(second[20:] + FACE)
        assert response(connection)[0] == 200


def test_a_target_that_is_too_long_is_refused(server):
    _, address = server
    with connected(address) as connection:
        connection.sendall(
            b"GET /" + b"a" * (MAX_HEAD + 1) + b" HTTP/1.1\r\nhost: localhost\r\n\r\n"
        )
        assert b"400 Bad Request" in connection.recv(65536)


def test_a_stream_opens_on_a_connection_whose_request_was_refused(tmp_path):
    upgrade = (
        b"GET /v1/stream HTTP/1.1\r\nhost: localhost\r\n"
        b"connection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with (
        served(tmp_path, waiting=1) as (state, address),
        full(state),
        connected(address) as connection,
    ):
        connection.sendall(head() + FACE)
        assert response(connection)[0] == 429
        connection.sendall(upgrade)
        assert b"101 Switching Protocols" in connection.recv(65536)
