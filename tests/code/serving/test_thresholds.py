"""Each class has its own threshold: in the answers of the server, and for pages and clients."""

import io

import httpx
import pytest
from PIL import Image
from tests.support import bundles
from tests.support.in_process import listening

from unveil.serving.declared_purpose import Purpose
from unveil.serving.server_setup import assemble
from unveil.serving.settings import Settings

OWN = {"happy": 0.6, "neutral": 0.9, "sad": 0.8, "surprise": 0.7}


def bytes_of(face) -> bytes:
    file = io.BytesIO()
    Image.fromarray(face).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A server whose network gives the brightest quarter's class a probability of 0.711."""
    place = tmp_path_factory.mktemp("served")
    changes = {"thresholds": [*OWN.values()], "abstain_below": 0.6}
    folder = bundles.made(place / "bundle", sharpness=2.0, **changes)
    purpose = Purpose("see which classes are named")
    paths = {"audit": place / "log", "keep": place / "keep", "bundle": folder}
    with (
        listening(assemble(Settings(purpose.text, **paths), purpose)) as address,
        httpx.Client(base_url=f"http://{address}") as client,
    ):
        yield client


def test_the_server_names_a_class_from_its_own_threshold_on(client):
    named = []
    for place in range(4):
        content, headers = bytes_of(bundles.quarter(place)), {"content-type": "image/png"}
        (face,) = client.post("/v1/predict", content=content, headers=headers).json()["faces"]
        assert face["probabilities"][bundles.CLASSES[place]] == pytest.approx(0.711, abs=0.001)
        named.append((face["emotion"], face["reason"]))
    assert named == [("happy", None), (None, "unsure"), (None, "unsure"), ("surprise", None)]


@pytest.mark.parametrize("path", ["/v1/model", "/v1/device"])
def test_pages_and_clients_get_the_threshold_of_each_class_and_the_lowest(client, path):
    described = client.get(path).json()
    assert described["thresholds"] == OWN
    assert described["abstain_below"] == 0.6
