"""A running server under bodies nobody would send: no 5xx, no crash, nothing stored."""

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.bundles import made, quarter
from tests.hostile import encoded
from tests.servers import unveil_server

KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
PICTURES = [encoded(Image.fromarray(quarter(1)), kind) for kind in KINDS]
CHECKS = [not_a_server_error, status_code_conformance]
CHECKS += [content_type_conformance, response_schema_conformance]
FUZZING = {
    "deadline": None,
    "phases": (Phase.generate,),
    "suppress_health_check": list(HealthCheck),
    "database": None,
}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    with unveil_server(folder, made(folder / "b"), "--body-seconds", 5) as given:
        before = sorted(folder.rglob("*"))
        yield given
        # Nothing of ten thousand bodies is left.
        assert sorted(folder.rglob("*")) == before
        assert "Traceback" not in (folder / "unveil-server.log").read_text()


def conform(url: str, examples: int) -> None:
    """Send bodies that fit the interface and bodies that do not; each answer is as it says."""
    for found in schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations():
        for mode in GenerationMode:

            @settings(max_examples=examples, **FUZZING)
            @given(found.ok().as_strategy(generation_mode=mode))
            def ask(case):
                case.call_and_validate(checks=CHECKS)

            ask()
    assert httpx.get(f"{url}/readyz").status_code == 200


@pytest.mark.fault("bodies made from our own OpenAPI document")
def test_the_interface_answers_as_it_says(url):
    conform(url, 8)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.fault("ten thousand bodies made from our own OpenAPI document")
def test_the_interface_answers_ten_thousand_times_as_it_says(url):
    conform(url, 500)


def broken(picture: bytes, noise: bytes, place: float, over: bool) -> bytes:
    start = int(place * len(picture))
    return picture[:start] + noise + picture[start + len(noise) * over :]


def send(url: str, examples: int) -> None:
    with httpx.Client(base_url=url, timeout=60) as client:

        @settings(max_examples=examples, **FUZZING)
        @given(st.sampled_from(PICTURES), st.binary(max_size=60), st.floats(0, 1), st.booleans())
        def ask(picture, noise, place, over):
            content = broken(picture, noise, place, over)
            answer = client.post(
                "/v1/predict", content=content, headers={"content-type": "image/png"}
            )
            assert answer.status_code in (200, 422), answer.text

        ask()
        assert client.get("/readyz").status_code == 200


@pytest.mark.fault("damaged images over HTTP")
def test_damaged_images_are_answered_or_refused(url):
    send(url, 200)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.fault("ten thousand damaged images over HTTP")
def test_ten_thousand_damaged_images_are_answered_or_refused(url):
    send(url, 10_000)
