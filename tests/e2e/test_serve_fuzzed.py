"""Fuzzing a running server: no 5xx, no crash, nothing stored."""

import json
import re
from collections import Counter
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.support import fuzz
from tests.support.bundles import made
from tests.support.servers import unveil_server
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

CHECKS = [not_a_server_error, status_code_conformance]
CHECKS += [content_type_conformance, response_schema_conformance]
FUZZING = {
    "deadline": None,
    "phases": (Phase.generate,),
    "suppress_health_check": list(HealthCheck),
    "database": None,
}
KEPT = re.compile(r"feedback/(feedback\.jsonl|pictures/[0-9a-f]{64}\.png)")
FRAMES, CONFORMING = 0.1, 0.1  # of all bodies


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    options = ["--body-seconds", 5, "--feedback", "feedback", "--feedback-pictures"]
    options += ["--feedback-most", 100]
    with unveil_server(folder, made(folder / "b"), *options) as given:
        before = files(folder)
        yield given
        # Of ten thousand bodies only feedback with consent is stored.
        assert [name for name in files(folder) - before if not KEPT.fullmatch(name)] == []
        assert (folder / "feedback/feedback.jsonl").read_text().count("\n") <= 100
        assert "Traceback" not in (folder / "unveil-server.log").read_text()
        assert given.process.poll() is None


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def resident(server) -> float:
    """Return the memory of the server in MB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000


def conform(url: str, examples: int) -> Counter:
    """Send valid and invalid bodies; each answer must match the OpenAPI document."""
    operations = list(schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations())
    counted = Counter()
    for found in operations:
        for mode in GenerationMode:

            @settings(max_examples=max(1, examples // len(operations) // 2), **FUZZING)
            @given(found.ok().as_strategy(generation_mode=mode))
            def ask(case):
                answer = case.call_and_validate(checks=CHECKS)
                counted["our document", answer.status_code] += 1

            ask()
    return counted


def ask_all(url: str, requests, examples: int) -> Counter:
    """Send requests; none may cause a server error."""
    counted = Counter()
    with httpx.Client(timeout=60) as client:

        @settings(max_examples=examples, **FUZZING)
        @given(requests)
        def ask(request):
            method, path, kind, body = request
            answer = client.request(
                method, url + path, content=body, headers={"content-type": kind}
            )
            assert answer.status_code < 500, (request, answer.text)
            where = path if path in fuzz.ROUTES else "other"
            counted[where, answer.status_code] += 1

        ask()
    return counted


def watch_all(url: str, examples: int) -> Counter:
    """Send frames; the stream is reopened after a frame that closed it."""
    counted, streams = Counter(), []

    @settings(max_examples=examples, **FUZZING)
    @given(fuzz.frames)
    def ask(frame):
        if not streams:
            streams.append(connect(url.replace("http", "ws") + "/v1/stream"))
        streams[0].send(frame)
        try:
            outcome = "error" if "error" in json.loads(streams[0].recv(timeout=60)) else "answer"
        except ConnectionClosed as closed:
            outcome = closed.rcvd.code
            streams.pop().close()
        assert (outcome == 1003) == isinstance(frame, str), (outcome, frame)
        counted["/v1/stream", outcome] += 1

    ask()
    for stream in streams:
        stream.close()
    return counted


def send(server, bodies: int) -> Counter:
    """Send this number of bodies to all routes; counts the answers by route and status."""
    counted = watch_all(server, int(bodies * FRAMES)) + conform(server, int(bodies * CONFORMING))
    for requests, share in fuzz.SHARES:
        counted += ask_all(server, requests, int(bodies * share))
    assert httpx.get(f"{server}/readyz").status_code == 200
    return counted


@pytest.mark.fault("bodies nobody would send, on all routes")
def test_fuzzed_bodies_are_answered_or_refused(server):
    assert send(server, 150).total() > 100


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.fault("ten thousand bodies nobody would send, on all routes")
def test_ten_thousand_fuzzed_bodies_are_answered_or_refused(server, capsys):
    send(server, 400)
    before = resident(server)
    counted = send(server, 10_800)
    grown = resident(server) - before
    with capsys.disabled():
        print(f"\n{counted.total()} bodies; the server holds {before:.0f} MB and {grown:+.1f} MB")
        for (route, status), count in sorted(counted.items(), key=str):
            print(f"{route:36} {status!s:8} {count:6}")
    assert counted.total() >= 10_000
    assert grown < 50
