"""The components of the server: purpose, tokens, admission, audit log, the active bundle."""

import asyncio
import contextlib
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.support.bundles import made as bundle
from tests.support.bundles import quarter as bright

from unveil.common.errors import UserError
from unveil.inference.bundle_files import FILES
from unveil.serving import privacy_notice, request_audit, tokens
from unveil.serving.admission_queue import AdmissionQueue, QueueFull
from unveil.serving.batching import Batcher, ModelFailed
from unveil.serving.declared_purpose import Purpose, declared
from unveil.serving.model_slot import ModelSlot, load_tested
from unveil.serving.prometheus_metrics import Metrics, ModelInfo
from unveil.serving.settings import Settings, checked


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("watch the mood of our employees", "employees"),
        ("judge job applicants on video", "job"),
        ("mood of people while they work", "they work"),
        ("mood at  work of our people", "at work"),
        ("the mood at\u2010work, measured", "at work"),
        ("mood at \uff57\uff4f\uff52\uff4b of our people", "at work"),
        ("smiles of co-workers on Friday", "co workers"),
        ("call centre operators mood tracking", "call centre"),
        ("how our operators look today", "operators"),
        ("stress during the night shift", "night shift"),
        ("Stimmung der Mitarbeiter messen", "mitarbeiter"),
        ("Stimmung im Buero messen heute", "buero"),
        ("Stimmung im Büro messen heute", "buro"),
        ("Stimmung im Bu\u0308ro messen heute", "buro"),
        ("GROSSRAUMBÜRO UND SEINE STIMMUNG", "grossraumburo"),
        ("humeur des salariés au bureau", "salaries"),
        ("attention of pupils in a lesson", "pupils"),
        ("attention of people in our online lessons", "lessons"),
        ("course participants attention score", "course"),
        ("trainees in our training room", "trainees"),
        ("attention of people in class", "in class"),
        ("people who are learning at home", "who are learning"),
        ("Proctoring of an online exam", "proctoring"),
        ("Aufmerksamkeit in der Hochschule messen", "hochschule"),
        ("émotions des élèves en cours", "eleves"),
    ],
)
def test_work_and_education_are_refused(text, word):
    with pytest.raises(UserError, match=f"{word}.*prohibited") as refused:
        declared(text, None, None)
    assert "\n" not in str(refused.value)


def test_a_medical_or_safety_reason_is_accepted_and_stored():
    reason = "tells a tired driver to rest"
    purpose = declared("drivers at work in a bus", "safety", reason)
    assert purpose == Purpose("drivers at work in a bus", "safety", reason)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", None, None), "not a sentence"),
        (("testing", None, None), "not a sentence"),
        (("a line\nand another one", None, None), "not a sentence"),
        (("a b c" * 100, None, None), "not a sentence"),
        (("faces in my video calls", "medical", None), "needs a --reason"),
        (("faces in my video calls", "medical", "because"), "reason 'because' is not a sentence"),
        (("faces in my video calls", None, "I want to do it"), "belongs to an --exception"),
    ],
)
def test_an_incomplete_declaration_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        declared(*arguments)


@pytest.mark.parametrize(
    "text",
    [
        "smiles of visitors trigger a photo booth",
        "a photo booth at a fair works by itself",
        "show me my own face in a video call",
        "captions for the faces in a video-call",
        "measure the server itself",
        "see that the server works",
        "visitors of our shop who agreed at the door",
        "an artwork that shows people works of art",
        "my own face, of course, and nobody's else",
        "faces over the course of an evening among friends",
        "training data of my own face",
        "personal use with my own camera",
        "which class of expression actors show",
        "a study of the audience of films",
        "Bildverarbeitung an der eigenen Schulter",
    ],
)
def test_an_ordinary_purpose_is_served(text):
    assert declared(text, None, None).text == text


def test_the_notice_states_processing_and_purpose():
    purpose, contact = "faces in my video calls", "me@example.org"
    notice_text = privacy_notice.text(
        Purpose(purpose), Settings(purpose, contact=contact), ("happy", "sad")
    )
    assert "happy, sad" in notice_text
    assert "Purpose: faces in my video calls" in notice_text
    assert "Run by: me@example.org" in notice_text
    assert max(map(len, notice_text.splitlines())) <= 100
    assert "What is kept: no picture, no face" in notice_text


def test_the_notice_does_not_claim_that_no_face_is_kept_if_faces_are(tmp_path):
    labels = Settings("faces", feedback=tmp_path)
    for settings in (labels, replace(labels, feedback_pictures=True)):
        notice_text = privacy_notice.text(Purpose("faces"), settings, ("happy",))
        assert "to train the model" in " ".join(notice_text.split())
        assert ("no face" in notice_text) == (not settings.feedback_pictures)


def test_only_the_hash_of_a_token_is_stored(tmp_path):
    path = tmp_path / "tokens.json"
    token = tokens.issue(path, "kiosk")
    kept = json.loads(path.read_text())
    assert kept == {"kiosk": hashlib.sha256(token.encode()).hexdigest()}
    assert path.stat().st_mode & 0o777 == 0o600
    assert tokens.owner(tokens.load(path), token) == "kiosk"
    assert tokens.owner(tokens.load(path), kept["kiosk"]) is None


def test_a_name_gets_a_new_token_only_after_the_old_one_is_revoked(tmp_path):
    path = tmp_path / "tokens.json"
    first = tokens.issue(path, "kiosk")
    with pytest.raises(
        UserError, match=r"kiosk already has a token .*`unveil token kiosk --revoke`"
    ):
        tokens.issue(path, "kiosk")
    assert tokens.owner(tokens.load(path), first) == "kiosk"
    tokens.revoke(path, "kiosk")
    second = tokens.issue(path, "kiosk")
    assert tokens.owner(tokens.load(path), second) == "kiosk"


def test_a_revoked_token_is_invalid(tmp_path):
    path = tmp_path / "tokens.json"
    first, second = tokens.issue(path, "first"), tokens.issue(path, "second")
    tokens.revoke(path, "first")
    assert tokens.owner(tokens.load(path), first) is None
    assert tokens.owner(tokens.load(path), second) == "second"
    with pytest.raises(UserError, match="unknown token 'first'; choose from second"):
        tokens.revoke(path, "first")


@given(st.text(max_size=80))
def test_only_the_exact_token_is_valid(presented):
    kept = {"kiosk": hashlib.sha256(b"right").hexdigest()}
    assert (tokens.owner(kept, presented) == "kiosk") == (presented == "right")


@pytest.mark.parametrize("content", ["", "[]", '{"kiosk": "plain"}', '{"kiosk": 7}'])
def test_an_invalid_token_file_is_refused(tmp_path, content):
    path = tmp_path / "tokens.json"
    path.write_text(content)
    with pytest.raises(UserError, match="readable by others"):
        tokens.load(path)
    path.chmod(0o600)
    with pytest.raises(UserError, match="not a token file"):
        tokens.load(path)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize(
    ("mode", "usable"),
    [(0o440, True), (0o640, True), (0o444, False), (0o460, False), (0o450, False)],
)
def test_a_token_file_of_another_user_may_be_readable_by_a_group(mode, usable):
    with tempfile.TemporaryDirectory() as folder:  # pytest's folders are closed to other users
        Path(folder).chmod(0o755)
        path = Path(folder, "tokens.json")
        token = tokens.issue(path, "kiosk")
        os.chown(path, 0, 65534)
        path.chmod(mode)
        refused = pytest.raises(UserError, match="readable by others")
        with as_nobody(), contextlib.nullcontext() if usable else refused:
            assert tokens.owner(tokens.load(path), token) == "kiosk"


def test_the_owner_of_a_token_file_must_keep_it_from_the_group(tmp_path):
    tokens.issue(tmp_path / "tokens.json", "kiosk")
    (tmp_path / "tokens.json").chmod(0o640)
    with pytest.raises(UserError, match="readable by others"):
        tokens.load(tmp_path / "tokens.json")


def test_as_many_are_admitted_as_are_answered_in_time():
    now = [0.0]
    queue = AdmissionQueue(64, patience=0.1, clock=lambda: now[0])
    passes = [queue.admit() for _ in range(60)]
    for one in passes:
        one.__enter__()
    for one in passes:  # one leaves each 10 ms
        now[0] += 0.01
        one.__exit__(None, None, None)
    assert queue.allowed == 10
    assert queue.inside == 0


def test_a_request_beyond_the_limit_is_refused():
    queue = AdmissionQueue(2, patience=0.1)
    with queue.admit(), queue.admit(), pytest.raises(QueueFull), queue.admit():
        pass
    with queue.admit():
        assert queue.inside == 1


def test_a_batch_counts_as_its_pictures_and_one_per_core_is_admitted():
    now, cores = [0.0], len(os.sched_getaffinity(0))
    queue = AdmissionQueue(64, patience=0.1, clock=lambda: now[0])
    batches = [queue.admit(64) for _ in range(cores)]
    for one in batches:
        one.__enter__()
    assert queue.inside == 64 * cores
    with pytest.raises(QueueFull), queue.admit():
        pass
    for one in batches:  # 5 ms a picture
        now[0] += 0.32
        one.__exit__(None, None, None)
    assert queue.allowed == (20 if cores > 1 else 64)


def test_idle_time_does_not_count_as_processing_time():
    now = [0.0]
    queue = AdmissionQueue(64, patience=0.1, clock=lambda: now[0])
    for _ in range(50):
        now[0] += 5
        with queue.admit():
            now[0] += 0.001
    assert queue.allowed == 64


def test_the_audit_log_is_appended_and_private(tmp_path):
    log = tmp_path / "new/audit.jsonl"
    request_audit.record(log, "start", text="a purpose", exception=None)
    request_audit.record(log, "minute", answered={"happy": 3})
    first, second = map(json.loads, log.read_text().splitlines())
    assert (first["event"], first["text"]) == ("start", "a purpose")
    assert second["answered"] == {"happy": 3}
    assert log.stat().st_mode & 0o777 == 0o600


def test_an_audit_log_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    log = tmp_path / "file/audit.jsonl"
    with pytest.raises(UserError, match="cannot be written"):
        request_audit.record(log, "start")
    request_audit.try_record(log, "minute")
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"host": "0.0.0.0"}, "name a --token-file"),
        ({"certificate": "here"}, "--certificate and --key go together"),
        ({"waiting": 0}, "--waiting 0 is not positive"),
        ({"body_seconds": -1.0}, "--body-seconds -1.0 is not positive"),
        ({"body_seconds": math.nan}, "--body-seconds nan is not a number; choose 0.001 to 3,600"),
        ({"patience": math.nan}, "--patience nan is not a number"),
        ({"patience": math.inf}, "--patience inf is more than 3600"),
        ({"drain_seconds": math.nan}, "--drain-seconds nan is not a number"),
        ({"drain_seconds": math.inf}, "--drain-seconds inf is more than 3600"),
        ({"drain_seconds": -1.0}, "--drain-seconds -1.0 is less than 0"),
        ({"drain_seconds": 5_000_000.0}, "--drain-seconds 5000000.0 is more than 3600"),
        ({"port": -1}, "--port -1 is less than 0; choose 0 to 65,535"),
        ({"port": 65_536}, "--port 65536 is more than 65535"),
        ({"streams": -1}, "--streams -1 is less than 0"),
        ({"watched": 10**9}, "--watched 1000000000 is more than 1e\\+07"),
        ({"max_bytes": 10**13}, "--max-bytes 10000000000000 is more than"),
    ],
)
def test_invalid_settings_are_refused(changed, message):
    with pytest.raises(UserError, match=message):
        checked(Settings(purpose="faces in my calls", **changed))


def test_a_bundle_passes_its_self_test(tmp_path):
    assert load_tested(bundle(tmp_path / "bundle")).image_size == 48


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sharpness": 0.0}, "the same for all faces"),
        ({"sharpness": float("nan")}, "not finite"),
        ({"digests": {"model.onnx": "0" * 64}}, "sha256 differs"),
        ({"size": 32, "sharpness": 9.0}, None),
    ],
)
def test_a_bundle_that_fails_its_self_test_is_refused(tmp_path, changed, message):
    folder = bundle(tmp_path / "bundle", **changed)
    if message is None:
        assert load_tested(folder).image_size == 32
        return
    with pytest.raises(UserError, match=message):
        load_tested(folder)


@pytest.fixture
def reports():
    return []


def test_a_new_bundle_is_loaded_and_a_broken_one_is_not(tmp_path, reports):
    slot = ModelSlot(bundle(tmp_path / "b"), tmp_path / "keep", lambda *what: reports.append(what))
    first = slot.bundle
    slot.reload()
    assert slot.bundle is first
    bundle(tmp_path / "b", sharpness=30.0)
    slot.reload()
    second = slot.bundle
    assert second.digest != first.digest
    (tmp_path / "b/model.onnx").write_bytes(b"broken")
    slot.reload()
    slot.reload()
    assert slot.bundle is second
    assert [outcome for outcome, _ in reports] == ["taken", "taken", "refused"]


@pytest.mark.fault("the bundle's folder is away")
def test_the_server_starts_from_the_last_good_copy(tmp_path, reports):
    folder, keep = bundle(tmp_path / "b"), tmp_path / "keep"
    digest = ModelSlot(folder, keep, lambda *_: None).bundle.digest
    for name in ("model.onnx", "bundle.json"):
        (folder / name).unlink()
    slot = ModelSlot(folder, keep, lambda *what: reports.append(what))
    assert slot.bundle.digest == digest
    assert [outcome for outcome, _ in reports] == ["last_good"]
    bundle(folder, sharpness=30.0)
    slot.reload()
    assert slot.bundle.digest != digest


def test_the_int8_network_is_used_if_requested(tmp_path):
    faces = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 1)).astype(np.uint8)
    exact, small = (
        ModelSlot(ROOT / "models/starter", tmp_path / one, lambda *_: None, one).bundle
        for one in FILES
    )
    apart = np.abs(exact.probabilities(faces) - small.probabilities(faces)).max()
    assert 1e-4 < apart < 0.2


def test_the_active_model_is_named_with_its_version_in_metrics_and_events(tmp_path, reports):
    folder = bundle(tmp_path / "b", lineage={"version": "3"})
    slot = ModelSlot(folder, tmp_path / "keep", lambda *what: reports.append(what))
    assert reports == [("taken", f"quarters, version 3, sha256 {slot.bundle.digest[:12]}")]
    metrics = Metrics()
    metrics.register(ModelInfo(lambda: slot.bundle))
    labels = f'architecture="quarters",sha256="{slot.bundle.digest[:12]}",version='
    assert f'unveil_model{{{labels}"3"}} 1.0' in metrics.text().decode()
    bundle(folder, lineage={"version": "1"})
    slot.reload()
    assert 'version="1"} 1.0' in metrics.text().decode()
    assert 'version="3"' not in metrics.text().decode()


@pytest.mark.fault("a served bundle's card altered")
def test_a_bundle_with_an_altered_card_is_not_loaded(tmp_path, reports):
    folder = bundle(tmp_path / "b", abstain_below=0.8)
    slot = ModelSlot(folder, tmp_path / "keep", lambda *what: reports.append(what))
    card = folder / "bundle.json"
    card.write_text(card.read_text().replace('"abstain_below": 0.8', '"abstain_below": 0.0'))
    slot.reload()
    assert slot.bundle.thresholds == (0.8,) * 4
    assert "bundle.json does not match bundle.json.sha256" in reports[-1][1]


def test_other_classes_need_a_restart(tmp_path, reports):
    slot = ModelSlot(bundle(tmp_path / "b"), tmp_path / "keep", lambda *what: reports.append(what))
    bundle(tmp_path / "b", classes=("a", "b", "c", "d"))
    slot.reload()
    assert slot.bundle.classes[0] == "happy"
    assert "restart the server" in reports[-1][1]


@pytest.fixture
def batcher(tmp_path):
    slot = ModelSlot(bundle(tmp_path / "b"), tmp_path / "keep", lambda *_: None)
    sizes = []
    batcher = Batcher(slot, lambda faces, _: sizes.append(faces))
    yield batcher, sizes
    batcher.close()


def test_waiting_faces_are_predicted_in_batches_and_answered_separately(batcher):
    batcher, sizes = batcher

    async def ask():
        faces = [bright(label) for label in (3, 1, 0, 2) * 10]
        groups = [faces[start : start + 2] for start in range(0, 40, 2)]
        return await asyncio.gather(*map(batcher.predict, groups))

    answered = np.concatenate([predictions.probabilities for predictions in asyncio.run(ask())])
    assert answered.argmax(axis=1).tolist() == [3, 1, 0, 2] * 10
    assert sum(sizes) == 40
    assert len(sizes) < 20


@pytest.mark.fault("the model fails on one face")
def test_a_face_on_which_the_model_fails_does_not_affect_others(batcher):
    batcher, _ = batcher

    async def ask():
        odd = batcher.predict([np.zeros((48, 48, 3), np.uint8)])
        first = await asyncio.gather(odd, return_exceptions=True)
        return first[0], await batcher.predict([bright(2)])

    failed, predictions = asyncio.run(ask())
    assert isinstance(failed, ModelFailed)
    assert predictions.probabilities.argmax() == 2
    assert batcher.is_alive


def test_the_server_imports_no_training_frameworks():
    heavy = ("tensorflow", "keras", "mlflow", "prefect", "dvc", "pandas", "sklearn", "boto3")
    code = f"import sys, unveil.serving.run\nprint([n for n in {heavy} if n in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_a_token_file_that_is_nested_too_deeply_is_a_one_line_error(tmp_path):
    path = tmp_path / "tokens.json"
    path.write_text("[" * 100_000)
    path.chmod(0o600)
    with pytest.raises(UserError, match=r"tokens.json is not a token file"):
        tokens.load(path)
