"""The Python client: typed answers, busy servers, clear errors, and nothing to install."""

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.support.bundles import CLASSES, made, quarter
from tests.support.invalid_images import encoded
from tests.support.servers import free_port, unveil_server
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from unveil import client as clients
from unveil.client import Client, ServerError, _reason
from unveil.serving import tokens

FACES = [encoded(Image.fromarray(quarter(place))) for place in range(4)]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    token = tokens.issue(folder / "tokens.json", "program")
    with unveil_server(folder, made(folder / "b"), "--token-file", "tokens.json") as url:
        yield Client(url, token, timeout=30)


def test_it_needs_nothing_but_the_standard_library():
    code = "import sys; sys.path.insert(0, 'src'); import unveil.client; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = {name.split(".")[0] for name in said.stdout.split()}
    for heavy in ("tensorflow", "fastapi", "numpy", "PIL", "httpx", "pydantic", "websockets"):
        assert heavy not in names


@pytest.mark.parametrize("place", range(4))
def test_a_picture_is_answered(client, place, tmp_path):
    path = tmp_path / "face.png"
    path.write_bytes(FACES[place])
    for source in (path, FACES[place]):
        picture = client.predict(source)
        assert (picture.model["architecture"], picture.model["version"]) == ("quarters", None)
        (face,) = picture.faces
        assert face.emotion == CLASSES[place]
        assert face.box == (0, 0, 48, 48)
        assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_a_batch_is_answered_in_its_order(client):
    first, second = client.predict_batch([FACES[2], b"no picture"])
    assert first.faces[0].emotion == "sad"
    assert first.model == second.model == client.predict(FACES[2]).model
    assert (second.faces, second.reason) == ((), "not an image")


def test_a_stream_is_answered_frame_by_frame(client):
    frames = (FACES[place] if place < 4 else b"no picture" for place in range(5))
    answers = list(client.stream(frames))
    assert [one.faces[0].emotion for one in answers[:4]] == list(CLASSES)
    assert answers[4].reason == "not an image"


def test_readiness_is_yes_or_no(client):
    assert client.ready()
    assert not Client(f"http://127.0.0.1:{free_port()}").ready()


def test_what_is_refused_is_one_line_with_its_status(client):
    with pytest.raises(ServerError, match="not an image") as refused:
        client.predict(b"no picture")
    assert refused.value.status == 422
    with pytest.raises(ServerError, match="feedback is off; `unveil serve --fe") as refused:
        client.feedback("happy")
    assert refused.value.status == 404
    stranger = Client(f"http://{client._address}", "wrong")
    with pytest.raises(ServerError, match="a valid token") as refused:
        stranger.predict(FACES[0])
    assert refused.value.status == 401
    with pytest.raises(ServerError, match="401") as refused:
        list(stranger.stream(FACES))
    assert refused.value.status == 401


def test_a_stream_passes_on_the_errors_of_its_frames(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        list(client.stream([tmp_path / "nowhere.png"]))

    def frames():
        yield FACES[0]
        raise OSError("the camera went away")

    answers = client.stream(frames())
    assert next(answers).faces[0].emotion == CLASSES[0]
    with pytest.raises(OSError, match="the camera went away"):
        next(answers)


def test_a_token_may_come_with_the_end_of_its_line(client):
    token = client._headers["authorization"].removeprefix("Bearer ")
    assert Client(f"http://{client._address}", f"{token}\n").predict(FACES[0]).faces


@pytest.mark.parametrize("token", ["sec ret", "sec\nret", "secr\u00e9t", "secret\0"])
def test_what_is_no_token_is_refused_and_not_quoted(token):
    with pytest.raises(ValueError, match="an invalid character") as refused:
        Client("http://127.0.0.1:8000", token)
    assert "sec" not in str(refused.value)


def test_a_server_that_is_away_is_one_line():
    client = Client(f"http://127.0.0.1:{free_port()}")
    for ask in (lambda: client.predict(FACES[0]), lambda: list(client.stream(FACES))):
        with pytest.raises(ServerError) as refused:
            ask()
        assert refused.value.status is None
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        *("", "127.0.0.1:8000", "ftp://here", "http://", "http://here/secret", "http://[secret"),
        *("http://me:secret@here", "http://secret@here:8000/", "http://here:secret"),
        *("http://here?token=secret", "http://here/#secret", "http://here/?", "http://@here"),
    ],
)
def test_what_is_no_address_is_refused_and_not_quoted(url):
    with pytest.raises(ValueError, match="not a plain server address") as refused:
        Client(url)
    assert "secret" not in str(refused.value)


@contextmanager
def saying(*answers: tuple[int, str, bytes]):
    """Serve these answers one after the other: status, retry-after, body; gives what was asked."""
    asked, waiting = [], list(answers)

    class Saying(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            status, later, body = waiting.pop(0)
            self.send_response(status)
            self.send_header("retry-after", later)
            self.send_header("location", "http://192.0.2.1/")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Saying) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


BUSY = (429, "0.01", b'{"error": "busy"}')
ANSWER = (200, "", b'{"faces": [], "reason": "no_face"}')


@pytest.mark.fault("a busy server")
def test_a_busy_server_is_asked_again_when_it_says():
    with saying(BUSY, BUSY, ANSWER) as (url, asked):
        assert Client(url).predict(b"face").reason == "no_face"
        assert asked == ["/v1/predict"] * 3


@pytest.mark.fault("a server that stays busy")
@pytest.mark.parametrize(("answers", "times"), [([BUSY] * 9, 5), ([(429, "3600", b"")], 1)])
def test_a_server_that_stays_busy_is_given_up(answers, times):
    with saying(*answers) as (url, asked):
        with pytest.raises(ServerError) as refused:
            Client(url).predict(b"face")
        assert refused.value.status == 429
        assert len(asked) == times


@pytest.mark.fault("a server that sends elsewhere")
def test_no_picture_and_no_token_goes_elsewhere():
    with saying((307, "", b"")) as (url, asked), pytest.raises(ServerError) as refused:
        Client(url, "secret").predict(b"face")
    assert refused.value.status == 307
    assert len(asked) == 1


@pytest.mark.fault("another server's page")
def test_an_answer_that_is_no_json_is_an_error_of_the_server():
    page = (200, "", b"<html>please log in</html>")
    with (
        saying(page) as (url, _),
        pytest.raises(ServerError, match="does not answer as unveil") as refused,
    ):
        Client(url).predict(b"face")
    assert refused.value.status == 200


OTHERS = (b"[]", b"null", b"7", b'"text"', b"{}", b'{"faces": [7], "pictures": 7, "reason": null}')


@pytest.mark.fault("another server's answer")
@pytest.mark.parametrize("body", OTHERS)
def test_json_of_another_form_is_an_error_of_the_server(body):
    with saying(*[(200, "", body)] * 2) as (url, _):
        client = Client(url)
        for ask in (lambda: client.predict(b"face"), lambda: client.predict_batch([b"face"])):
            with pytest.raises(ServerError, match="does not answer as unveil") as refused:
                ask()
            assert refused.value.status == 200


@pytest.mark.fault("another server's answer")
def test_feedback_and_a_stream_of_another_form_are_errors_of_the_server():
    with (
        saying((200, "", b"[]")) as (url, _),
        pytest.raises(ServerError, match="does not answer as"),
    ):
        Client(url).feedback("happy")

    def another(socket):
        for _ in socket:
            socket.send("[]")

    with serve(another, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        client = Client(f"http://127.0.0.1:{server.socket.getsockname()[1]}")
        with pytest.raises(ServerError, match="an answer is not of the form"):
            list(client.stream([b"face"]))


@contextmanager
def slow_server(pieces: Iterable[bytes], every: float = 0.0) -> Iterator[str]:
    """Send one connection these pieces, one at a time, whatever it requests."""
    ended = threading.Event()

    def send() -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            for piece in pieces:
                connection.sendall(piece)
                if ended.wait(every):
                    return
            connection.shutdown(socket.SHUT_WR)
            ended.wait()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            ended.set()
            thread.join()


OPEN = b"HTTP/1.1 200 OK\r\n"
SIZED = b"content-length: 1000000\r\n\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
SLOW_PARTS = {
    "status": repeat(b"H"),
    "header": chain([OPEN], repeat(b"x")),
    "interim": repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": chain([OPEN, SIZED], repeat(b" ")),
    "body without a length": chain([OPEN, b"\r\n", ANSWER[2]], repeat(b" ")),
    "chunk": chain([OPEN, CHUNKED], repeat(b"1\r\n \r\n")),
    "size of a chunk": chain([OPEN, CHUNKED], repeat(b"0")),
}


@pytest.mark.fault("a server that sends its answer byte by byte")
@pytest.mark.parametrize("part", SLOW_PARTS)
def test_an_answer_sent_byte_by_byte_ends_at_the_timeout(part):
    with slow_server(SLOW_PARTS[part], every=0.02) as url:
        began = time.monotonic()
        with pytest.raises(
            ServerError, match=r"the answer is not complete within 0\.3 seconds"
        ) as refused:
            Client(url, timeout=0.3).predict(b"face")
        assert 0.3 <= time.monotonic() - began < 20
    assert (refused.value.status, "\n" in str(refused.value)) == (None, False)


@pytest.mark.fault("a server that sends its TLS handshake byte by byte")
def test_the_timeout_includes_the_handshake_and_the_request():
    start = b"\x16\x03\x03\x40\x00"  # a record of 16 kB
    trust = ssl.create_default_context()
    with slow_server(chain([start], repeat(b"\0")), every=0.02) as url:
        client = Client(url.replace("http:", "https:"), timeout=0.3, trust=trust)
        began = time.monotonic()
        with pytest.raises(ServerError, match=r"not complete within 0\.3 seconds"):
            client.predict(b"face" * 1_000_000)
        assert time.monotonic() - began < 20
    with (
        slow_server([b""], every=60) as url,
        pytest.raises(ServerError, match="not complete within"),
    ):
        Client(url, timeout=0.3).predict(b"face" * 8_000_000)


@pytest.mark.fault("a server with an endless answer")
@pytest.mark.parametrize("head", [b"\r\n", b"content-length: 99000000000\r\n\r\n", CHUNKED])
def test_an_endless_answer_is_refused_by_its_size(head, monkeypatch):
    monkeypatch.setattr(clients, "_MAX_BYTES", 100_000)
    piece = b"1000\r\n" + 4096 * b" " + b"\r\n" if head == CHUNKED else 4096 * b" "
    endless = chain([OPEN, head], repeat(piece))
    with slow_server(endless) as url, pytest.raises(ServerError, match="larger than 100000 bytes"):
        Client(url).predict(b"face")


def test_an_answer_of_the_maximum_size_is_read_and_a_cut_off_one_is_an_error(monkeypatch):
    monkeypatch.setattr(clients, "_MAX_BYTES", len(ANSWER[2]))
    with saying(ANSWER) as (url, _):
        assert Client(url).predict(b"face").reason == "no_face"
    cut = [OPEN, b"content-length: 30\r\n\r\n", b'{"faces": []']
    with (
        slow_server(cut) as url,
        pytest.raises(ServerError, match="does not answer: the answer is cut off"),
    ):
        Client(url).predict(b"face")


@pytest.mark.fault("a server that answers other frames")
def test_a_stream_of_answers_to_other_frames_ends_at_the_timeout():
    def others(socket):
        with suppress(ConnectionClosed):
            for _ in socket:
                while True:
                    socket.send('{"frame": -1}')
                    time.sleep(0.02)

    with serve(others, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        began = time.monotonic()
        assert list(Client(url, timeout=0.3).stream([b"face"])) == []
        assert time.monotonic() - began < 20


@given(st.binary(max_size=300))
def test_any_answer_has_a_reason(content):
    assert _reason(content)
