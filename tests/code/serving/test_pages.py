"""The pages for people: content negotiation of the notice, and the drawn samples."""

import io
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.support.bundles import made
from tests.support.in_process import listening

from unveil.inference import bundle
from unveil.inference.face_crop import cut
from unveil.inference.face_detector import detector
from unveil.serving import decoder_pool, privacy_notice, samples
from unveil.serving.declared_purpose import Purpose
from unveil.serving.pages import PAGE, prefers_html
from unveil.serving.server_setup import assemble
from unveil.serving.settings import Settings

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("text/plain", False),
        ("application/json, text/plain, */*", False),
        ("text/plain, text/html", False),
        ("text/html;q=0", False),
        ("text/html;q=high", False),
        ("text/html;q=nan", False),
        ("text/plain;q=0.5, text/html;q=0.4", False),
        ("text/html", True),
        ("TEXT/HTML; charset=utf-8; Q=0.1", True),
        ("text/plain;q=0.5, text/html;q=0.9", True),
        (CHROMIUM, True),
    ],
)
def test_html_is_for_clients_that_name_it(accept, expected):
    assert prefers_html(accept) == expected


@pytest.mark.parametrize("exception", [None, "safety"])
def test_the_notice_says_the_same_as_text_and_as_html(tmp_path, exception):
    purpose = Purpose("smiles of <visitors> & $friends", exception, exception and "a reason of us")
    given = (purpose, Settings("x", contact="a <b> & c", feedback=tmp_path), ("happy", "sad"))
    html = privacy_notice.html(*given)
    assert "smiles of &lt;visitors&gt; &amp; $friends" in html
    assert "a &lt;b&gt; &amp; c" in html
    body = html.partition("<body>")[2].partition("<nav")[0]
    plain = unescape(re.sub(r"<[^>]+>", " ", body))
    words = [
        re.sub("[:\\s]+", " ", one).strip().lower() for one in (plain, privacy_notice.text(*given))
    ]
    assert words[0] == words[1]


def test_samples_are_drawn_the_same_each_time():
    first = {name: samples.png(name) for name in samples.SAMPLES}
    samples.png.cache_clear()
    assert {name: samples.png(name) for name in samples.SAMPLES} == first
    assert sum(map(len, first.values())) < 500_000


def test_the_page_offers_all_samples():
    offered = re.findall(r'src="/samples/(\w+)\.png"', (PAGE / "index.html").read_text())
    assert offered == list(samples.SAMPLES)


def test_the_starter_names_the_faces_of_the_samples_but_for_the_unclear_ones():
    starter, detect = bundle.load(ROOT / "models/starter"), detector()
    unclear = []
    for name, faces in samples.SAMPLES.items():
        picture = np.asarray(Image.open(io.BytesIO(samples.png(name))))
        found = sorted(detect(picture), key=lambda one: one.box[0])
        assert len(found) == len(faces)
        crops = np.stack([cut(picture, one, starter.image_size) for one in found])[..., None]
        for row, (label, _) in zip(starter.probabilities(crops), faces, strict=True):
            assert starter.classes[row.argmax()] == label
            if row.max() < starter.thresholds[row.argmax()]:
                unclear.append(name)
    assert unclear == ["neutral", "unsure"]


@pytest.fixture
def state(tmp_path):
    purpose = Purpose("see that the pages work")
    paths = {"audit": tmp_path / "log", "keep": tmp_path / "keep", "bundle": made(tmp_path / "b")}
    return assemble(Settings(purpose.text, **paths), purpose)


@contextmanager
def asking(state) -> Iterator[httpx.Client]:
    with listening(state) as address, httpx.Client(base_url=f"http://{address}") as client:
        yield client


def until(is_so, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_notice_is_html_for_browsers_only(state):
    with asking(state) as client:
        for accept, kind in ((CHROMIUM, "text/html"), ("*/*", "text/plain")):
            answer = client.get("/notice", headers={"accept": accept})
            assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
            assert answer.headers["vary"] == "accept"


def test_an_unknown_sample_is_refused_with_the_choices(state):
    with asking(state) as client:
        answer = client.get("/samples/angry.png")
        assert (answer.status_code, client.get("/samples/sad.png").status_code) == (404, 200)
    assert answer.json()["error"].startswith("samples are happy, neutral, sad")


def test_feedback_that_is_off_names_its_option(state):
    with asking(state) as client:
        answer = client.post("/v1/feedback", json={"emotion": "happy"})
        assert "/v1/feedback" not in client.get("/openapi.json").json()["paths"]
    assert answer.status_code == 404
    assert "--feedback FOLDER" in answer.json()["error"]


@pytest.fixture
def quick_restarts(monkeypatch):
    monkeypatch.setattr(decoder_pool, "RESTART_INTERVAL", 0.2)


@pytest.fixture
def broken_python(monkeypatch):
    """A Python for decoder processes that ends at once; ``undo()`` repairs it."""
    with monkeypatch.context() as patch:
        patch.setattr(decoder_pool.sys, "executable", "/bin/false")
        yield patch


@pytest.mark.fault("decoder processes that cannot start")
def test_a_server_without_decoders_is_not_ready_until_they_start(monkeypatch, broken_python, state):
    monkeypatch.setattr(decoder_pool, "RESTART_INTERVAL", 0.2)
    with asking(state) as client:
        until(lambda: "unveil_ready" in client.get("/metrics").text)
        for path in ("/readyz", "/v2/health/ready"):
            assert client.get(path).status_code == 503
        assert "unveil_ready 0.0" in client.get("/metrics").text
        assert client.get("/healthz").status_code == 200
        broken_python.undo()
        until(lambda: client.get("/readyz").status_code == 200)
        assert "unveil_ready 1.0" in client.get("/metrics").text


@pytest.mark.fault("decoder processes killed while idle")
def test_decoders_that_ended_are_restarted_and_the_server_stays_ready(quick_restarts, state):
    pool = state.pipeline.pool
    until(pool.check)
    before = {worker._process for worker in pool._workers}
    for process in before:
        process.kill()
        process.wait()
        assert pool.is_ready
    until(lambda: pool.check() and before.isdisjoint(one._process for one in pool._workers))
    pool.close()
    state.pipeline.batcher.close()
