"""A running server under expensive requests: others are still answered, and it stops in time."""

import base64
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image
from tests.support.bundles import made as bundle
from tests.support.bundles import quarter
from tests.support.costly_images import COSTLY_IMAGES, scanned, wide
from tests.support.invalid_images import encoded
from tests.support.prefect_project import within
from tests.support.servers import BIN, free_port, serving, unveil_server
from websockets.sync.client import connect

FACE = encoded(Image.fromarray(quarter(2)))
PNG = {"content-type": "image/png"}
SECONDS = 1.0
"""The time limit of a picture."""
LONG = scanned(3400, 1500)
"""About 20 seconds of work, more on a busy machine, if this many scans are allowed."""
ALLOWED = ("--max-scans", 10_000, "--picture-seconds", SECONDS)
BUSY = 10.0
"""Extra seconds for a busy machine."""


def posted(url: str, content: bytes = FACE, **how) -> httpx.Response:
    return httpx.post(f"{url}/v1/predict", content=content, headers=PNG, timeout=60, **how)


def batch(*pictures: bytes) -> dict:
    return {"pictures": [base64.b64encode(picture).decode() for picture in pictures]}


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("costly")
    kept = ["--feedback", folder / "feedback", "--feedback-pictures"]
    # No request may be refused, however busy the machine is.
    patient = ["--patience", 60]
    with unveil_server(folder, bundle(folder / "b"), *ALLOWED, *kept, *patient) as given:
        yield given
    assert "Traceback" not in (folder / "unveil-server.log").read_text()


@contextmanager
def asking(url: str, times: int) -> Iterator[list[httpx.Response]]:
    """Send the slow picture from several threads; yields the responses."""
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(posted(url, LONG))) for _ in range(times)
    ]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        for thread in threads:
            thread.join()


def is_given_up(answer: httpx.Response) -> bool:
    assert "took more than 1 seconds" in answer.json()["error"]
    return (answer.status_code, answer.headers["retry-after"]) == (503, "5")


@pytest.mark.fault("small files that ask for much work over HTTP")
@pytest.mark.parametrize("name", [name for name in COSTLY_IMAGES if name != "scans"])
def test_an_expensive_picture_is_refused(url, name):
    content, reason = COSTLY_IMAGES[name]
    answer = posted(url, content)
    assert answer.status_code == 422
    assert reason in answer.json()["error"]


@pytest.mark.fault("a picture that takes too long")
def test_a_picture_that_takes_too_long_is_aborted(url):
    began = time.monotonic()
    assert is_given_up(posted(url, LONG))
    assert time.monotonic() - began < SECONDS + BUSY
    assert posted(url).json()["faces"]


@pytest.mark.fault("more pictures that take too long than there are cores")
def test_others_are_answered_while_pictures_take_too_long(url):
    with asking(url, 2 + 2 * len(os.sched_getaffinity(0))) as answers:
        times = []
        while len(answers) < 3:
            began = time.monotonic()
            assert posted(url).status_code == 200
            times.append(time.monotonic() - began)
        assert sorted(times)[len(times) // 2] < SECONDS
    assert all(map(is_given_up, answers))


@pytest.mark.fault("what takes too long in a batch, in feedback and in a stream")
def test_each_route_has_a_timeout(url):
    answer = httpx.post(f"{url}/v1/predict/batch", json=batch(FACE, LONG), timeout=60)
    assert is_given_up(answer)
    body = {"emotion": "sad", "consent": True, "picture": batch(LONG)["pictures"][0]}
    assert is_given_up(httpx.post(f"{url}/v1/feedback", json=body, timeout=60))
    with connect(f"{url.replace('http', 'ws', 1)}/v1/stream") as stream:
        stream.send(LONG)
        assert "took more than" in json.loads(stream.recv(timeout=60))["error"]
        stream.send(FACE)
        assert json.loads(stream.recv(timeout=60))["faces"]


@pytest.mark.fault("a batch of large pictures")
def test_the_pixels_of_a_batch_are_limited(url):
    large = wide(4000, 3000)
    answer = httpx.post(f"{url}/v1/predict/batch", json=batch(*[large] * 5), timeout=60)
    assert answer.status_code == 422
    assert answer.json()["error"] == "60000000 pixels in all pictures, more than 48000000"
    # Very long in one direction: the work of face detection is bounded, too.
    answer = httpx.post(f"{url}/v1/predict/batch", json=batch(*[wide(19_000, 240)] * 8), timeout=60)
    assert answer.status_code == 200


@pytest.mark.fault("a batch that takes too long in all")
def test_the_seconds_of_a_batch_are_limited(tmp_path):
    options = ["--max-scans", 10_000, "--picture-seconds", 60, "--batch-seconds", 1]
    with unveil_server(tmp_path, bundle(tmp_path / "b"), *options) as url:
        began = time.monotonic()
        answer = httpx.post(f"{url}/v1/predict/batch", json=batch(FACE, LONG), timeout=60)
        assert answer.status_code == 503
        assert answer.json()["error"] == "it took more than 1 seconds"
        assert time.monotonic() - began < 1 + BUSY
        assert posted(url).status_code == 200


def metrics(url: str) -> str:
    return httpx.get(f"{url}/metrics", timeout=30).text


def workers(url) -> list[psutil.Process]:
    return psutil.Process(url.process.pid).children()


@pytest.mark.fault("the processes that look at pictures are killed")
def test_a_killed_process_is_replaced(url):
    for one in workers(url):
        one.kill()
    assert posted(url).json()["faces"]
    with asking(url, 1) as answers:
        within(30, lambda: answers or "unveil_inside 1.0" in metrics(url), lambda: metrics(url))
        for one in workers(url):
            one.kill()
    assert answers[0].status_code == 503
    assert "retry-after" in answers[0].headers
    assert posted(url).json()["faces"]


@pytest.mark.fault("SIGTERM while a decoder is busy")
@pytest.mark.parametrize("stop", [os.kill, os.killpg], ids=["the server", "its group"])
def test_it_stops_within_the_drain_time_whatever_a_decoder_does(tmp_path, stop):
    options = ["--max-scans", 10_000, "--picture-seconds", 60, "--drain-seconds", 2]
    with unveil_server(tmp_path, bundle(tmp_path / "b"), *options) as url:
        children = workers(url)
        with asking(url, 2) as answers:
            within(30, lambda: "unveil_inside 2.0" in metrics(url), lambda: metrics(url))
            began = time.monotonic()
            stop(url.process.pid, signal.SIGTERM)
            assert url.process.wait(timeout=30) == 0
            assert time.monotonic() - began < 2 + 2 + BUSY / 2
        assert [answer.status_code for answer in answers] == [503, 503]
        assert {answer.headers["retry-after"] for answer in answers} == {"1"}
        assert not any(child.is_running() for child in children)


@pytest.mark.fault("SIGTERM to all processes while a picture is looked at")
def test_requests_in_progress_are_answered_when_all_processes_get_sigterm(tmp_path):
    picture = encoded(Image.fromarray(quarter(2, 3400)), "JPEG", progressive=True)
    with unveil_server(tmp_path, bundle(tmp_path / "b"), "--picture-seconds", 60) as url:
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(posted(url, picture).status_code))
        thread.start()
        within(30, lambda: answers or "unveil_inside 1.0" in metrics(url), lambda: metrics(url))
        os.killpg(url.process.pid, signal.SIGTERM)
        thread.join()
        assert answers == [200]
        assert url.process.wait(timeout=30) == 0


@pytest.mark.fault("connections that never finish a handshake")
def test_connections_in_a_handshake_count_and_time_out(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("no openssl here to make a certificate")
    url, certificate = made_secure(tmp_path)
    port = int(url.rsplit(":")[-1])
    options = ["--connections", 10, "--body-seconds", 3]
    command = [BIN / "unveil", "serve", "--purpose", "see that TLS does it", "--port", port]
    command += ["--bundle", bundle(tmp_path / "b"), "--certificate", certificate]
    command += ["--key", tmp_path / "key.pem", *options]

    def answers() -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"{url}/readyz", verify=False, timeout=2).status_code == 200
        return False

    with serving(command, url, tmp_path / "log", ready=answers) as given, ExitStack() as stack:
        mute = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(50)
        ]
        within(10, lambda: len(held(given, port)) <= 21, lambda: f"{len(held(given, port))} held")
        within(3 + BUSY, answers, lambda: "they still hold the server")
        assert mute[0].recv(1) == b""
    assert "Traceback" not in (tmp_path / "log").read_text()


def made_secure(folder: Path) -> tuple[str, Path]:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return f"https://127.0.0.1:{free_port()}", folder / "certificate.pem"


def held(given, port: int) -> list[object]:
    """The open connections of a server."""
    found = psutil.Process(given.process.pid).net_connections("tcp")
    return [one for one in found if one.laddr.port == port and one.raddr]


@pytest.mark.fault("a full table of open files")
def test_too_many_open_files_are_one_line_and_recoverable(tmp_path):
    with unveil_server(tmp_path, bundle(tmp_path / "b")) as url, ExitStack() as stack:
        process = psutil.Process(url.process.pid)
        most = process.num_fds() + 5
        process.rlimit(resource.RLIMIT_NOFILE, (most, most))
        host, port = url.removeprefix("http://").split(":")
        for _ in range(30):
            stack.enter_context(socket.create_connection((host, int(port))))
        log = tmp_path / "unveil-server.log"
        within(10, lambda: "too many files" in log.read_text(), lambda: log.read_text()[-500:])
        began, before = time.monotonic(), process.cpu_times().user
        # The server retries every second.
        within(10, lambda: time.monotonic() - began > 3, lambda: "")
        assert process.cpu_times().user - before < 1
        stack.close()
        within(15, lambda: posted(url).status_code == 200, lambda: "it does not recover")
        assert log.read_text().count("\n") < 5
        assert "Traceback" not in log.read_text()


@pytest.mark.fault("fewer open files than connections")
def test_connections_are_limited_by_open_files(tmp_path):
    most = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (120, 120))}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [BIN / "unveil", "serve", "--purpose", "see that few do it", "--port", port]
    command += ["--bundle", bundle(tmp_path / "b")]

    def answers() -> bool:
        with suppress(httpx.HTTPError):
            return posted(url).status_code == 200
        return False

    log = tmp_path / "log"
    with serving(command, url, log, ready=answers, **most), ExitStack() as stack:
        assert "120 open files are allowed" in log.read_text()
        for _ in range(150):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        stack.close()
        within(15, answers, lambda: "it does not recover")
        assert log.read_text().count("\n") < 5
