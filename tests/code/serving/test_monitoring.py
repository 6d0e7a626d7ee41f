"""Drift readings of a server compared with thresholds: drifted, steady, too few, or an error."""

import http.server
import socket
import threading
import time

import pytest

from unveil.common.errors import UserError
from unveil.config import params
from unveil.serving import monitoring
from unveil.serving.monitoring import Readings, judge, parsed, read

SETTINGS = params.load().monitoring
TEXT = """# HELP unveil_drift How far.
# TYPE unveil_drift gauge
unveil_drift{measure="brightness"} 0.31
unveil_drift{measure="label"} 0.002
# HELP unveil_watched_faces Faces.
# TYPE unveil_watched_faces gauge
unveil_watched_faces 940.0
"""


@pytest.fixture
def server():
    """A server that requires a token for its metrics."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = self.headers.get("authorization") == "Bearer right"
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(TEXT.encode() if known else b"")

        def log_message(self, *_):
            return

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.fixture(params=["the head", "the body"])
def trickling(request):
    """A server that sends a byte now and then, and never ends."""
    started = b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if request.param == "the body" else b"a: ")
    ended = threading.Event()

    def trickle():
        connection, _ = listening.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(started)
            while not ended.wait(0.2):
                try:
                    connection.sendall(b"#")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=trickle)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        ended.set()
        thread.join()


def test_metrics_are_read_with_the_token(server):
    expected = Readings({"brightness": 0.31, "label": 0.002}, 940)
    assert read(server, "right") == read(f"{server}/", "right") == expected


def test_a_wrong_token_is_reported_but_not_shown(server):
    with pytest.raises(UserError, match="answers 401; set UNVEIL_TOKEN") as refused:
        read(server, "wrong-token")
    assert "wrong-token" not in str(refused.value)


def test_a_token_may_end_with_a_newline_and_a_malformed_one_is_not_shown(server):
    assert read(server, "right\n").faces == 940
    with pytest.raises(UserError, match="the address or the token is malformed") as refused:
        read(server, "two\nlines")
    assert "two" not in str(refused.value)


def test_a_server_whose_answer_never_ends_is_an_error(trickling, monkeypatch):
    monkeypatch.setattr(monitoring, "PATIENCE", 1.0)
    began = time.monotonic()
    with pytest.raises(
        UserError, match="does not answer: its answer is not complete after 1 seconds"
    ):
        read(trickling)
    assert time.monotonic() - began < 5


def test_an_answer_has_a_maximum_size(server, monkeypatch):
    monkeypatch.setattr(monitoring, "LARGEST", len(TEXT))
    assert read(server, "right").faces == 940
    monkeypatch.setattr(monitoring, "LARGEST", len(TEXT) - 1)
    with pytest.raises(UserError, match=f"answers more than {len(TEXT) - 1} bytes"):
        read(server, "right")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "127.0.0.1:8000", "ftp://somewhere"])
def test_an_invalid_server_address_is_refused(url):
    with pytest.raises(UserError, match="is not a server address"):
        read(url)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no drift: its bundle has no reference"),
        ("unveil_ready 1.0\n", "has no drift: its bundle has no reference"),
        ("<html>hello</html>", "no metrics of Prometheus"),
        ("unveil_drift{measure= 5", "no metrics of Prometheus"),
    ],
)
def test_an_answer_without_drift_is_one_line(text, message):
    with pytest.raises(UserError, match=message) as refused:
        parsed(text, "http://server/metrics")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("faces", ["NaN", "+Inf", "-Inf", "-1"])
def test_an_invalid_number_of_faces_is_an_error(faces):
    with pytest.raises(UserError, match="has an invalid number of faces"):
        parsed(f"unveil_watched_faces {faces}\n", "http://server/metrics")


@pytest.mark.parametrize("drift", ["NaN", "+Inf", "-Inf"])
def test_an_invalid_drift_is_an_error(drift):
    text = f'unveil_watched_faces 1000\nunveil_drift{{measure="label"}} {drift}\n'
    with pytest.raises(UserError, match="has an invalid drift of label"):
        parsed(text, "http://server/metrics")


def test_a_value_above_its_threshold_has_drifted():
    verdict = judge(parsed(TEXT, "server"), SETTINGS)
    assert verdict.outcome == "drifted"
    assert verdict.message == "drifted: brightness 0.310 bits, over 0.050"
    assert "| brightness | 0.310 | 0.050 | drifted |" in verdict.table()
    assert "| label | 0.002 | 0.050 | steady |" in verdict.table()
    assert "| confidence | - | 0.050 | not measured |" in verdict.table()


def test_too_few_faces_give_no_verdict():
    verdict = judge(Readings({"brightness": 0.9}, SETTINGS.min_faces - 1), SETTINGS)
    assert verdict.outcome == "too-few"
    assert verdict.message == "too few faces to judge: 499 of 500"
    assert "| brightness | 0.900 | 0.050 | too few faces |" in verdict.table()


def test_a_value_below_its_threshold_is_steady():
    verdict = judge(Readings({"brightness": 0.05, "unknown": 0.9}, 1000), SETTINGS)
    assert (verdict.outcome, verdict.message) == ("steady", "no drift over 1000 faces")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("label: 0.05", "labels: 0.05", "monitoring.thresholds.labels"),
        ("label: 0.05", "label: 0.0", "greater than 0, found 0.0"),
        ("url: http://127.0.0.1:8000", "url: 127.0.0.1:8000", "monitoring.url"),
        ("cooldown_hours: 24.0", "cooldown: 24.0", "monitoring.cooldown: unknown key"),
    ],
)
def test_a_wrong_threshold_is_refused_at_load(place, old, new, message):
    path = place / "params.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        params.load(path)
