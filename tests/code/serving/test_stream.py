"""Video streams: each processed frame is answered, and counted like a picture."""

import json
from dataclasses import replace
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from PIL import Image
from tests.support import scenes
from tests.support.bundles import made, quarter
from tests.support.in_process import listening
from tests.support.invalid_images import encoded
from websockets.sync.client import connect

from unveil.inference import bundle
from unveil.serving.admission_queue import AdmissionQueue
from unveil.serving.batching import Batcher
from unveil.serving.declared_purpose import Purpose
from unveil.serving.prediction_pipeline import AdmissionQueues
from unveil.serving.server_setup import assemble
from unveil.serving.settings import Settings

FACE = encoded(Image.fromarray(quarter(0)))


@pytest.fixture
def state(tmp_path):
    purpose = "see that streams are answered"
    settings = Settings(
        purpose=purpose,
        bundle=made(tmp_path / "b"),
        audit=tmp_path / "audit.jsonl",
        keep=tmp_path / "keep",
    )
    return assemble(settings, Purpose(purpose))


def answered(state, *frames: bytes) -> list[dict]:
    """Send frames one by one, each after the answer to the previous one."""
    answers = []
    with listening(state) as address, connect(f"ws://{address}/v1/stream") as stream:
        for frame in frames:
            stream.send(frame)
            answers.append(json.loads(stream.recv(timeout=20)))
    return answers


@pytest.mark.fault("a full server")
def test_a_frame_on_a_full_server_is_reported_as_dropped(state):
    closed = AdmissionQueue(0, patience=0.1)
    state.pipeline = replace(state.pipeline, queues=AdmissionQueues(closed, closed))
    assert answered(state, FACE, FACE) == [
        {"frame": 0, "dropped": 1, "faces": [], "reason": "busy"},
        {"frame": 1, "dropped": 2, "faces": [], "reason": "busy"},
    ]
    assert b'unveil_stream_frames_total{outcome="dropped"} 2.0' in state.metrics.text()


@pytest.mark.fault("the model fails in a stream")
def test_a_frame_on_which_the_model_fails_gets_the_error(state, tmp_path):
    broken = SimpleNamespace(bundle=bundle.load(made(tmp_path / "nan", sharpness=float("nan"))))
    whole = state.pipeline.batcher
    state.pipeline = replace(state.pipeline, batcher=Batcher(broken, state.metrics.batch))
    (answer,) = answered(state, FACE)
    whole.close()
    assert set(answer) == {"frame", "dropped", "error"}
    assert "model" in answer["error"]


def test_faces_of_a_stream_are_counted_in_metrics_and_audit_log(state):
    wall = encoded(Image.fromarray(np.full((300, 400), 90, np.uint8)))
    answers = answered(state, FACE, wall, FACE, b"no picture")
    assert [one.get("reason") for one in answers] == [None, "no_face", None, None]
    metrics = state.metrics.text()
    assert b'unveil_faces_total{answer="happy"} 2.0' in metrics
    assert b'unveil_faces_total{answer="no_face"} 1.0' in metrics
    last = json.loads(state.settings.audit.read_text().splitlines()[-1])
    assert (last["answered"]["happy"], last["answered"]["no_face"]) == (2, 1)


def test_the_memory_of_a_decoder_suffices_for_pictures_of_the_largest_size(state):
    settings = replace(state.settings, max_pixels=2_250_000)
    picture = encoded(Image.fromarray(scenes.scene((300, 300, 800), size=(1500, 1500))))
    png = {"content-type": "image/png"}
    with listening(assemble(settings, state.purpose)) as address:
        for _ in range(4):
            answer = httpx.post(f"http://{address}/v1/predict", content=picture, headers=png)
            assert (answer.status_code, len(answer.json()["faces"])) == (200, 1)


def test_in_frames_only_larger_faces_are_detected_than_in_pictures(state):
    # 13 pixels as the network sees the frame.
    picture = encoded(Image.fromarray(scenes.scene((200, 100, 42))))
    (answer,) = answered(state, picture)
    assert answer["reason"] == "no_face"
    again = assemble(state.settings, state.purpose)
    png = {"content-type": "image/png"}
    with listening(again) as address:
        answer = httpx.post(f"http://{address}/v1/predict", content=picture, headers=png).json()
    assert len(answer["faces"]) == 1
