"""A running server: its answers, refused requests, and faults."""

import asyncio
import base64
import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import zipfile
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image
from tests.support.bundles import CLASSES
from tests.support.bundles import made as bundle
from tests.support.bundles import quarter as bright
from tests.support.invalid_images import INVALID_IMAGES, encoded
from tests.support.prefect_project import within
from tests.support.scenes import scene
from tests.support.servers import BIN, free_port, serving, unveil_server
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from unveil.benchmarks import serving as bench
from unveil.common.errors import UserError
from unveil.common.files import sha256
from unveil.serving import tokens
from unveil.serving.app import PAGE
from unveil.serving.run import serve
from unveil.serving.settings import Settings

FACES = [encoded(Image.fromarray(bright(label))) for label in range(4)]
PNG = {"content-type": "image/png"}
BUNDLE = ("bundle.json", "bundle.json.sha256", "model.onnx", "model.int8.onnx")
BODY_SECONDS = 2
MAX_BYTES = 1_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def url(folder):
    made = bundle(folder / "bundle")
    limits = ["--max-bytes", MAX_BYTES, "--body-seconds", BODY_SECONDS, "--streams", 2]
    with unveil_server(folder, made, *limits, "--contact", "me@example.org") as given:
        yield given


@pytest.fixture(scope="module")
def client(url):
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture(autouse=True)
def _still_answers(request):
    yield
    if "client" in request.fixturenames:
        client = request.getfixturevalue("client")
        assert client.post("/v1/predict", content=FACES[0], headers=PNG).status_code == 200


def raw(url: str, content: bytes, *, until: float = 30.0) -> bytes:
    """Send raw bytes; returns the response until the server closes the connection."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=until) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(content)
        return received(connection)


def received(connection: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("label", range(4))
def test_a_picture_of_a_face_is_answered(client, label):
    answer = client.post("/v1/predict", content=FACES[label], headers=PNG)
    assert answer.status_code == 200
    (face,) = answer.json()["faces"]
    assert face["emotion"] == CLASSES[label]
    assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_every_face_of_a_picture_has_a_box(client):
    picture = encoded(Image.fromarray(scene((60, 120, 160), (380, 200, 200))), "JPEG")
    faces = client.post("/v1/predict", content=picture, headers=PNG).json()["faces"]
    centres = sorted((x + w / 2, y + h / 2) for x, y, w, h in (face["box"] for face in faces))
    assert centres == [pytest.approx((140, 200), abs=30), pytest.approx((480, 300), abs=30)]


def test_the_photo_of_a_phone_is_answered(client):
    photo = Image.fromarray(scene((1200, 700, 1600), size=(3024, 4032))).convert("RGB")
    answer = client.post("/v1/predict", content=encoded(photo, "JPEG"), headers=PNG, timeout=60)
    ((x, y, width, height),) = (face["box"] for face in answer.json()["faces"])
    assert (x + width / 2, y + height / 2) == pytest.approx((2000, 1500), abs=200)


def test_a_picture_without_a_face_is_answered(client):
    wall = encoded(Image.fromarray(bright(0, 640)), "JPEG")
    answer = client.post("/v1/predict", content=wall, headers=PNG).json()
    model = answer.pop("model")
    assert (model["architecture"], model["trained_on"]) == ("quarters", "real faces")
    assert answer == {"faces": [], "reason": "no_face"}
    assert model.items() <= client.get("/v1/model").json().items()


def test_a_batch_is_answered_in_its_order(client):
    pictures = [FACES[label] for label in (2, 0, 3)] + [b"no picture"]
    body = {"pictures": [base64.b64encode(picture).decode() for picture in pictures]}
    answer = client.post("/v1/predict/batch", json=body).json()
    assert answer["model"].items() <= client.get("/v1/model").json().items()
    answers = answer["pictures"]
    assert [one["faces"][0]["emotion"] for one in answers[:3]] == ["sad", "happy", "surprise"]
    assert answers[3] == {"faces": [], "reason": "not an image"}


def test_unwatched_pictures_are_answered_but_not_counted(client):
    def counted() -> list[str]:
        lines = client.get("/metrics").text.splitlines()
        return [line for line in lines if line.startswith(("unveil_faces", "unveil_watched"))]

    before = counted()
    body = {"pictures": [base64.b64encode(FACES[0]).decode()], "watched": False}
    kind = {"content-type": "Application/JSON"}
    answers = client.post("/v1/predict/batch", json=body, headers=kind).json()["pictures"]
    assert answers[0]["faces"][0]["emotion"] == "happy"
    assert counted() == before


def test_the_active_model_is_described(client, folder):
    model = client.get("/v1/model").json()
    assert (model["architecture"], model["version"]) == ("quarters", None)
    assert model["sha256"] == sha256(folder / "bundle/bundle.json")
    log = (folder / "unveil-server.log").read_text()
    assert "bundle: quarters, trained on: real faces" in log


def test_the_open_inference_protocol_is_answered_and_counted(client, url):
    before = metric(url, 'unveil_faces_total{answer="neutral"}')
    model = client.get("/v2/models/facial-emotion").json()
    assert model["inputs"][0]["shape"] == [-1, 48, 48, 1]
    tensor = {"name": "faces", "datatype": "UINT8", "shape": [2, 48, 48, 1]}
    tensor["data"] = [int(value) for label in (1, 3) for value in bright(label).ravel()]
    answer = client.post(
        "/v2/models/facial-emotion/infer", json={"id": "mine", "inputs": [tensor]}
    ).json()
    assert answer["id"] == "mine"
    (output,) = answer["outputs"]
    assert output["shape"] == [2, 4]
    assert output["data"][1] > 0.9
    assert output["data"][7] > 0.9
    assert metric(url, 'unveil_faces_total{answer="neutral"}') == before + 1
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/models/facial-emotion/ready").json()["ready"] is True


@pytest.mark.fault("invalid images over HTTP")
@pytest.mark.parametrize("name", INVALID_IMAGES)
def test_a_hostile_image_is_refused_with_its_reason(client, name):
    content, reason = INVALID_IMAGES[name]
    answer = client.post("/v1/predict", content=content, headers=PNG)
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]
    assert re.search(reason, answer.json()["error"])
    assert len(answer.text) < 300


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/predict", {"content-type": "text/plain"}, 415),
        ("/v1/predict", {"content-type": "application/json"}, 415),
        ("/v1/predict", {"content-type": ""}, 415),
        ("/v1/predict", {"content-type": "image/jpeg"}, 200),
        ("/v1/predict", {"content-type": "image/png", "content-encoding": "gzip"}, 415),
        ("/v1/predict/batch", {"content-type": "image/png"}, 415),
        ("/v1/predict/batch", {"content-type": "application/json"}, 422),
        ("/v2/models/facial-emotion/infer", {"content-type": "application/json"}, 422),
        ("/v2/models/facial-emotion/infer", {"content-type": "image/png"}, 415),
        ("/v1/unknown", {"content-type": "image/png"}, 404),
        ("/notice", {"content-type": "image/png"}, 405),
    ],
)
def test_the_content_type_is_checked(client, path, headers, status):
    assert client.post(path, content=FACES[0], headers=headers).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"pictures": []}',
        b'{"pictures": ["*"]}',
        b'{"pictures": [7]}',
        b'{"pictures": ["/etc/passwd", "http://127.0.0.1/face.png"]}',
        b'{"path": "/etc/passwd"}',
        b"[" * 100_000,
        b'{"pictures": ["' + b'","' * 70 + b'"]}',
    ],
)
def test_an_invalid_batch_is_refused_in_one_line(client, body):
    headers = {"content-type": "application/json"}
    answer = client.post("/v1/predict/batch", content=body, headers=headers)
    assert answer.status_code == 422
    assert "passwd" not in answer.text
    assert "\n" not in answer.json()["error"]


@pytest.mark.fault("a zip in place of a picture")
def test_a_zip_bomb_is_refused(client):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("face.png", b"\0" * 50_000_000)
    for kind, status in (("application/zip", 415), ("image/png", 422)):
        headers = {"content-type": kind}
        answer = client.post("/v1/predict", content=buffer.getvalue(), headers=headers)
        assert answer.status_code == status


@pytest.mark.fault("an oversized body")
def test_a_body_over_the_limit_is_refused_before_it_is_sent(client, url):
    head = b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n"
    head += b"content-length: 9000000000\r\n\r\n"
    began = time.monotonic()
    assert b" 413 " in raw(url, head).splitlines()[0]
    # The connection is not kept open for a body that would be discarded.
    assert time.monotonic() - began < 10 * BODY_SECONDS


@pytest.mark.fault("an oversized body in chunks")
def test_a_chunked_body_over_the_limit_is_cut_off(client):
    def parts():
        for _ in range(MAX_BYTES // 10_000 + 2):
            yield b"\0" * 10_000

    answer = client.post("/v1/predict", content=parts(), headers=PNG)
    assert answer.status_code == 413


def test_a_chunked_body_within_the_limit_is_answered(client):
    parts = (FACES[1][start : start + 100] for start in range(0, len(FACES[1]), 100))
    answer = client.post("/v1/predict", content=parts, headers=PNG)
    assert answer.json()["faces"][0]["emotion"] == "neutral"


@pytest.mark.fault("a slow client")
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", b""),
        (b"POST /v1/predict HTTP/1.1\r\nhost: local", b""),
        (
            b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n"
            b"content-length: 100\r\n\r\nslow",
            b"408",
        ),
    ],
    ids=["silent", "half a head", "half a body"],
)
def test_a_slow_client_is_disconnected(client, url, sent, expected):
    began = time.monotonic()
    assert expected in raw(url, sent)
    assert time.monotonic() - began < 10 * BODY_SECONDS


@pytest.mark.fault("a client that does not read")
def test_a_client_that_does_not_read_its_answer_is_disconnected(client, url):
    host, port = url.removeprefix("http://").split(":")
    path = max(PAGE.rglob("*.wasm"), key=lambda one: one.stat().st_size).relative_to(PAGE)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((host, int(port)))
        deaf.sendall(f"GET /static/{path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        ours = deaf.getsockname()

        def is_let_go() -> bool:
            held = [one for one in psutil.net_connections("tcp") if one.raddr == ours and one.pid]
            return deaf.recv(1, socket.MSG_PEEK) == b"H" and not held

        within(10 * BODY_SECONDS, is_let_go, lambda: "it still holds the connection")


@pytest.mark.fault("a client gone while it waits")
def test_disconnected_clients_do_not_affect_others(client, url):
    body = FACES[0]
    head = f"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    content = head.encode() + b"content-type: image/png\r\n\r\n" + body
    host, port = url.removeprefix("http://").split(":")
    for cut in (len(content), len(content) // 2, 20):
        for _ in range(10):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(content[:cut])


@pytest.mark.fault("bytes that are not HTTP")
@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 200_000 + b"\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n"
        b"content-length: 6\r\n\r\n",
        b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(client, url, content):
    answer = raw(url, content)
    assert answer.split(b" ")[1].startswith(b"4")
    assert b"root:" not in answer


@pytest.mark.fault("a forged host")
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1@evil", ""])
def test_a_forged_host_is_refused(client, host):
    assert client.get("/healthz", headers={"host": host}).status_code == 400


def test_every_response_has_the_security_headers(client):
    for path in (
        "/",
        "/docs",
        "/samples/sad.png",
        "/healthz",
        "/notice",
        "/nowhere",
        "/v1/predict",
    ):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_other_origins_are_refused(client):
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = client.options("/v1/predict", headers=headers)
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers


def test_the_notice_is_plain_text(client):
    answer = client.get("/notice")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "Purpose: see that the server works" in answer.text
    assert "me@example.org" in answer.text


def test_metrics_have_bounded_labels(client):
    for number in range(5):
        client.get(f"/nowhere/{number}")
    metrics = client.get("/metrics").text
    assert 'unveil_requests_total{route="other",status="404"}' in metrics
    assert "nowhere" not in metrics
    assert "unveil_ready 1.0" in metrics
    assert 'unveil_faces_total{answer="happy"}' in metrics


def test_the_openapi_document_has_an_example_of_each_message(client):
    document = client.get("/openapi.json").json()
    assert {"/v1/predict", "/v1/predict/batch", "/readyz"} <= set(document["paths"])
    schemas = document["components"]["schemas"]
    assert [
        name for name in ("Face", "Picture", "Pictures") if "examples" not in schemas[name]
    ] == []


def socket_url(url: str) -> str:
    return f"{url.replace('http', 'ws', 1)}/v1/stream"


def test_frames_of_a_stream_are_answered(url, client):
    with connect(socket_url(url)) as stream:
        for number, label in enumerate((1, 2, 0)):
            stream.send(FACES[label])
            answer = json.loads(stream.recv(timeout=20))
            assert answer["frame"] == number
            assert answer["faces"][0]["emotion"] == CLASSES[label]
        stream.send(b"no picture")
        assert json.loads(stream.recv(timeout=20))["error"] == "not an image"


@pytest.mark.fault("JSON of millions of values")
@pytest.mark.parametrize("path", ["/v1/predict/batch", "/v2/models/facial-emotion/infer"])
def test_json_of_many_values_does_not_block_others(client, path):
    body = b'{"inputs": [' + b"[]," * (MAX_BYTES // 3 - 10) + b"0]}"
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert "more than" in answer.json()["error"]


def test_stale_frames_are_dropped_and_the_newest_is_answered(url, client):
    slow = encoded(Image.fromarray(bright(3, 900)), "JPEG")
    counter = 'unveil_stream_frames_total{outcome="dropped"}'
    before = metric(url, counter)
    with connect(socket_url(url)) as stream:
        for _ in range(40):
            stream.send(slow)
        frame, answers = -1, 0
        while frame < 39:
            answer = json.loads(stream.recv(timeout=20))
            assert answer["frame"] > frame
            frame, answers = answer["frame"], answers + 1
        assert answer["dropped"] == 40 - answers
        assert answer["reason"] == "no_face"
        # While the stream is open: a call may last for hours.
        assert metric(url, counter) == before + answer["dropped"]


@pytest.mark.fault("a stream of what is no frame")
def test_an_invalid_frame_closes_the_stream(url, client):
    for sent, code in (("text", 1003), (b"\0" * (MAX_BYTES + 1), 1009)):
        with connect(socket_url(url)) as stream, pytest.raises(ConnectionClosed) as closed:
            stream.send(sent)
            stream.recv(timeout=20)
        assert closed.value.rcvd.code == code


def test_the_number_of_streams_is_limited(url, client):
    with connect(socket_url(url)), connect(socket_url(url)):
        with pytest.raises(InvalidStatus) as refused, connect(socket_url(url)):
            pass
        assert refused.value.response.status_code == 429
        assert refused.value.response.headers["retry-after"] == "1"


@pytest.mark.fault("a page of another origin opens a stream")
def test_a_page_of_another_origin_opens_no_stream(url, client):
    with pytest.raises(InvalidStatus) as refused:
        connect(socket_url(url), origin="https://evil.example")
    assert refused.value.response.status_code == 403
    with connect(socket_url(url), origin=url):
        pass


def test_nothing_of_a_picture_is_stored(folder, client):
    client.post("/v1/predict", content=FACES[0], headers=PNG)
    kept = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert kept == {
        *("unveil-server.log", "data/08_serving/audit.jsonl"),
        *(f"bundle/{name}" for name in BUNDLE),
        *(f"data/08_serving/last_good/{name}" for name in BUNDLE),
    }
    log = (folder / "unveil-server.log").read_text()
    assert "127.0.0.1 -" not in log
    assert "Traceback" not in log
    for line in (folder / "data/08_serving/audit.jsonl").read_text().splitlines():
        assert set(json.loads(line)) <= {
            *("time", "event", "said", "answered"),
            *("text", "exception", "reason"),
        }


class Load:
    """Clients that send requests continuously; results are in ``statuses`` and ``errors``."""

    def __init__(self, url: str, clients: int = 4) -> None:
        self.statuses: list[int] = []
        self.errors: list[Exception] = []
        self.answers: set[str] = set()
        self.may_end = False
        self._url, self._end = url, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def until(self, done, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, (self.statuses[-5:], self.errors[-5:])
            time.sleep(0.02)

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._end.is_set():
                try:
                    answer = client.post("/v1/predict", content=FACES[2], headers=PNG)
                except httpx.HTTPError as error:
                    # After SIGTERM the port is closed.
                    if not (self.may_end and isinstance(error, httpx.ConnectError)):
                        self.errors.append(error)
                    return
                self.statuses.append(answer.status_code)
                self.answers.add(answer.text)


def metric(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)


@pytest.mark.fault("the bundle's folder is away at the start")
def test_it_starts_from_its_last_good_copy_and_reports_it(tmp_path):
    folder = bundle(tmp_path / "b")
    with unveil_server(tmp_path, folder):
        pass
    shutil.rmtree(folder)
    with unveil_server(tmp_path, folder) as url:
        answer = httpx.post(f"{url}/v1/predict", content=FACES[2], headers=PNG)
    assert answer.json()["faces"][0]["emotion"] == CLASSES[2]
    log = (tmp_path / "data/08_serving/audit.jsonl").read_text()
    assert log.count("bundle_taken") == log.count("bundle_last_good") == 1


@pytest.mark.fault("a new bundle, broken and tampered ones, then SIGTERM, under load")
def test_bundles_change_and_the_server_stops_under_load_without_a_failed_request(tmp_path):
    folder = bundle(tmp_path / "b", sharpness=2.0)
    # None of the four may be refused, however busy the machine is.
    with unveil_server(tmp_path, folder, "--patience", 60) as url, Load(url) as load:
        refused = 'unveil_bundles_total{outcome="refused"}'
        taken = 'unveil_bundles_total{outcome="taken"}'
        load.until(lambda: len(load.statuses) > 20)
        (folder / "model.onnx").write_bytes(b"broken")
        load.until(lambda: metric(url, refused) >= 1)
        bundle(folder, sharpness=0.0)
        load.until(lambda: metric(url, refused) >= 2)
        assert len(load.answers) == 1
        bundle(folder, sharpness=4.0)
        load.until(lambda: metric(url, taken) >= 2)
        load.until(lambda: len(load.answers) == 2)
        content = bytearray((folder / "model.onnx").read_bytes())
        content[-20] ^= 1
        before = metric(url, refused)
        (folder / "model.onnx").write_bytes(content)
        load.until(lambda: metric(url, refused) > before)
        many = len(load.statuses)
        load.until(lambda: len(load.statuses) > many + 20)
        stream = connect(socket_url(url))
        load.may_end = True
        os.kill(url.process.pid, signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(timeout=30)
        assert closed.value.rcvd.code == 1012
        assert url.process.wait(timeout=60) == 0
    assert load.errors == []
    assert set(load.statuses) == {200}
    assert len(load.answers) == 2
    lines = (tmp_path / "data/08_serving/audit.jsonl").read_text().splitlines()
    events = "\n".join(lines)
    assert events.count("bundle_taken") == 2
    assert "sha256 differs" in events
    last = json.loads(lines[-1])
    assert last["event"] == "stop"
    assert last["answered"]["/v1/predict 200"] == len(load.statuses)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    limits = ["--waiting", 1, "--connections", 20]
    with unveil_server(folder, bundle(folder / "b"), *limits) as url:
        yield url


@pytest.mark.fault("more requests than can be answered")
def test_a_request_beyond_the_limit_gets_retry_after(small):
    slow, answers = encoded(Image.fromarray(bright(1, 2400)), "JPEG"), []

    def ask() -> None:
        answers.append(httpx.post(f"{small}/v1/predict", content=slow, headers=PNG, timeout=60))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}


@pytest.mark.fault("more connections than there may be")
def test_a_connection_beyond_the_limit_gets_retry_after(small):
    host, port = small.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection((host, int(port))))
        answer = raw(small, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"retry-after: 1" in answer
    deadline = time.monotonic() + 20
    while httpx.get(f"{small}/healthz").status_code != 200:
        assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A server with TLS and tokens: its URL, a TLS context that trusts it, and the token file."""
    folder = tmp_path_factory.mktemp("secure")
    if not shutil.which("openssl"):
        pytest.skip("no openssl here to make a certificate")
    certificate, key, kept = folder / "certificate.pem", folder / "key.pem", folder / "tokens.json"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    trust = ssl.create_default_context(cafile=certificate)
    url = f"https://127.0.0.1:{free_port()}"
    tokens.issue(kept, "first")

    def ready() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{url}/readyz", verify=trust).status_code == 200
        return False

    command = [BIN / "unveil", "serve", "--purpose", "see that TLS does it"]
    command += ["--port", url.rsplit(":")[-1], "--bundle", bundle(folder / "b")]
    command += ["--certificate", certificate, "--key", key, "--token-file", kept]
    with serving(command, url, folder / "log", ready=ready) as given:
        yield given, trust, kept


async def _streams(url: str, trust: ssl.SSLContext, names: tuple[str, str], kept: Path) -> None:
    # The blocking client of websockets uses one TLS connection from two threads.
    kiosk, other = names
    with pytest.raises(InvalidStatus) as refused:
        await connect_async(url, ssl=trust)
    assert refused.value.response.status_code == 401
    offered = ["unveil", f"bearer.{kiosk}"]
    async with connect_async(url, ssl=trust, subprotocols=offered) as stream:
        assert stream.subprotocol == "unveil"
    async with connect_async(url, ssl=trust, subprotocols=[f"bearer.{other}"]) as stream:
        await stream.send(FACES[0])
        assert json.loads(await asyncio.wait_for(stream.recv(), 20))["faces"]
        tokens.revoke(kept, "other")
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(stream.recv(), 20)
        assert closed.value.rcvd.code == 1008


@pytest.mark.fault("wrong and missing tokens")
def test_only_requests_with_a_token_are_answered(secure):
    url, trust, kept = secure
    kiosk, other = tokens.issue(kept, "kiosk"), tokens.issue(kept, "other")

    def status(token: str | None) -> int:
        headers = PNG | ({"authorization": f"Bearer {token}"} if token else {})
        request = {"content": FACES[0], "headers": headers, "verify": trust}
        return httpx.post(f"{url}/v1/predict", **request).status_code

    assert [status(kiosk), status(other), status(None), status("wrong")] == [200, 200, 401, 401]
    assert httpx.get(f"{url}/metrics", verify=trust).status_code == 401
    answer = httpx.get(f"{url}/notice", verify=trust)
    assert answer.status_code == 200
    assert "strict-transport-security" in answer.headers
    asyncio.run(_streams(socket_url(url), trust, (kiosk, other), kept))
    assert [status(kiosk), status(other)] == [200, 401]
    folder = kept.parent
    log = (folder / "log").read_text() + (folder / "data/08_serving/audit.jsonl").read_text()
    assert kiosk not in log


def test_an_exception_is_logged_with_its_reason(tmp_path):
    reason = "tells a tired driver to rest"
    options = ["--exception", "safety", "--reason", reason]
    with unveil_server(tmp_path, bundle(tmp_path / "b"), *options):
        lines = (tmp_path / "data/08_serving/audit.jsonl").read_text().splitlines()
    start = json.loads(lines[0])
    assert (start["event"], start["exception"], start["reason"]) == ("start", "safety", reason)


@pytest.mark.fault("a server that may not start")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, "does not match bundle.json"),
        ({"bundle": Path("nowhere")}, "nowhere"),
        ({"purpose": "mood of employees today"}, "prohibited"),
        ({"host": "0.0.0.0"}, "--token-file"),
        ({"token_file": Path("none.json")}, "none.json does not exist"),
        ({"port": 0, "audit": Path("data/07_bundle")}, "cannot be written"),
        ({"port": "taken"}, "in use"),
        ({"certificate": Path("params.yaml"), "key": Path("params.yaml")}, "cannot be used"),
    ],
    ids=["tampered", "absent", "work", "open", "no tokens", "no audit", "port", "no certificate"],
)
def test_it_does_not_start_on_a_mistake(place, changed, message):
    folder = bundle(Path("data/07_bundle"))
    if not changed:
        (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"\0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if changed.get("port") == "taken":
            changed = {"port": taken.getsockname()[1]}
        chosen = {"purpose": "faces in my calls", "port": 0, "bundle": folder, **changed}
        with pytest.raises(UserError, match=message) as refused:
            serve(Settings(**chosen))
    assert "\n" not in str(refused.value)


def test_the_benchmark_reports_all_its_measures(tmp_path):
    served = bench.server(bundle(tmp_path / "b"), seconds=0.5, requests=100)
    reached = served.throughput
    assert min(served.in_process, reached.batches, reached.capacity, reached.answered) > 0
    assert reached.refused_share < 1
    assert "| p99 latency of those answered |" in bench.table(served)


def test_without_a_purpose_nothing_is_served(tmp_path):
    run = subprocess.run([BIN / "unveil", "serve"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 2
    assert "--purpose" in run.stderr
