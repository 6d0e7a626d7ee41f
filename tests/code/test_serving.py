"""The parts of the server: purpose, tokens, turnstile, audit log, the bundle of now."""

import asyncio
import hashlib
import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bundles import made as bundle
from tests.bundles import quarter as bright
from tests.conftest import ROOT

from unveil.bundle_folder import FILES
from unveil.errors import UserError
from unveil.serving import audit, notice, tokens
from unveil.serving.batching import Batcher, ModelFailed
from unveil.serving.live import Live, proven
from unveil.serving.metrics import Metrics, Named
from unveil.serving.purpose import Purpose, declared
from unveil.serving.settings import Settings, checked
from unveil.serving.turnstile import Full, Turnstile


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


def test_a_medical_or_safety_reason_lets_them_in_and_is_kept():
    reason = "tells a tired driver to rest"
    purpose = declared("drivers at work in a bus", "safety", reason)
    assert purpose == Purpose("drivers at work in a bus", "safety", reason)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("", None, None), "no sentence"),
        (("testing", None, None), "no sentence"),
        (("a line\nand another one", None, None), "no sentence"),
        (("a b c" * 100, None, None), "no sentence"),
        (("faces in my video calls", "medical", None), "needs a --reason"),
        (("faces in my video calls", "medical", "because"), "reason 'because' is no sentence"),
        (("faces in my video calls", None, "I want to do it"), "belongs to an --exception"),
    ],
)
def test_a_declaration_that_says_too_little_is_refused(arguments, said):
    with pytest.raises(UserError, match=said):
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


def test_the_notice_says_what_is_done_and_for_what():
    purpose, contact = "faces in my video calls", "me@example.org"
    said = notice.text(Purpose(purpose), Settings(purpose, contact=contact), ("happy", "sad"))
    assert "happy, sad" in said
    assert "Purpose: faces in my video calls" in said
    assert "Run by: me@example.org" in said
    assert max(map(len, said.splitlines())) <= 100
    assert "What is kept: no picture, no face" in said


def test_the_notice_never_says_that_no_face_is_kept_where_faces_are(tmp_path):
    labels = Settings("faces", feedback=tmp_path)
    for settings in (labels, replace(labels, feedback_pictures=True)):
        said = notice.text(Purpose("faces"), settings, ("happy",))
        assert "to teach the computer" in " ".join(said.split())
        assert ("no face" in said) == (not settings.feedback_pictures)


def test_a_token_is_known_by_its_hash_alone(tmp_path):
    path = tmp_path / "tokens.json"
    token = tokens.issue(path, "kiosk")
    kept = json.loads(path.read_text())
    assert kept == {"kiosk": hashlib.sha256(token.encode()).hexdigest()}
    assert path.stat().st_mode & 0o777 == 0o600
    assert tokens.owner(tokens.load(path), token) == "kiosk"
    assert tokens.owner(tokens.load(path), kept["kiosk"]) is None


def test_a_name_that_has_a_token_gets_no_other_until_that_is_taken_back(tmp_path):
    path = tmp_path / "tokens.json"
    first = tokens.issue(path, "kiosk")
    with pytest.raises(UserError, match=r"kiosk has a token .*`unveil token kiosk --revoke`"):
        tokens.issue(path, "kiosk")
    assert tokens.owner(tokens.load(path), first) == "kiosk"
    tokens.revoke(path, "kiosk")
    second = tokens.issue(path, "kiosk")
    assert tokens.owner(tokens.load(path), second) == "kiosk"


def test_a_token_that_was_taken_back_is_not_known(tmp_path):
    path = tmp_path / "tokens.json"
    first, second = tokens.issue(path, "first"), tokens.issue(path, "second")
    tokens.revoke(path, "first")
    assert tokens.owner(tokens.load(path), first) is None
    assert tokens.owner(tokens.load(path), second) == "second"
    with pytest.raises(UserError, match="unknown token 'first'; choose from second"):
        tokens.revoke(path, "first")


@given(st.text(max_size=80))
def test_no_text_is_taken_for_a_token(presented):
    kept = {"kiosk": hashlib.sha256(b"right").hexdigest()}
    assert (tokens.owner(kept, presented) == "kiosk") == (presented == "right")


@pytest.mark.parametrize("content", ["", "[]", '{"kiosk": "plain"}', '{"kiosk": 7}'])
def test_what_is_no_token_file_is_refused(tmp_path, content):
    path = tmp_path / "tokens.json"
    path.write_text(content)
    with pytest.raises(UserError, match="open to others"):
        tokens.load(path)
    path.chmod(0o600)
    with pytest.raises(UserError, match="no token file"):
        tokens.load(path)


def test_the_turnstile_lets_in_as_many_as_leave_in_time():
    now = [0.0]
    turnstile = Turnstile(64, patience=0.1, clock=lambda: now[0])
    passes = [turnstile.passed() for _ in range(60)]
    for one in passes:
        one.__enter__()
    for one in passes:  # one leaves each 10 ms
        now[0] += 0.01
        one.__exit__(None, None, None)
    assert turnstile.allowed == 10
    assert turnstile.inside == 0


def test_the_turnstile_refuses_the_one_too_many():
    turnstile = Turnstile(2, patience=0.1)
    with turnstile.passed(), turnstile.passed(), pytest.raises(Full), turnstile.passed():
        pass
    with turnstile.passed():
        assert turnstile.inside == 1


def test_a_batch_counts_as_its_pictures_and_one_for_each_core_is_let_in():
    now, cores = [0.0], len(os.sched_getaffinity(0))
    turnstile = Turnstile(64, patience=0.1, clock=lambda: now[0])
    batches = [turnstile.passed(64) for _ in range(cores)]
    for one in batches:
        one.__enter__()
    assert turnstile.inside == 64 * cores
    with pytest.raises(Full), turnstile.passed():
        pass
    for one in batches:  # 5 ms a picture
        now[0] += 0.32
        one.__exit__(None, None, None)
    assert turnstile.allowed == (20 if cores > 1 else 64)


def test_a_quiet_server_is_not_taken_for_a_slow_one():
    now = [0.0]
    turnstile = Turnstile(64, patience=0.1, clock=lambda: now[0])
    for _ in range(50):
        now[0] += 5
        with turnstile.passed():
            now[0] += 0.001
    assert turnstile.allowed == 64


def test_the_audit_log_grows_line_by_line_and_is_for_its_owner(tmp_path):
    log = tmp_path / "new/audit.jsonl"
    audit.record(log, "start", text="a purpose", exception=None)
    audit.record(log, "minute", answered={"happy": 3})
    first, second = map(json.loads, log.read_text().splitlines())
    assert (first["event"], first["text"]) == ("start", "a purpose")
    assert second["answered"] == {"happy": 3}
    assert log.stat().st_mode & 0o777 == 0o600


def test_an_audit_log_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    log = tmp_path / "file/audit.jsonl"
    with pytest.raises(UserError, match="cannot be written"):
        audit.record(log, "start")
    audit.note(log, "minute")
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"host": "0.0.0.0"}, "name a --token-file"),
        ({"certificate": "here"}, "--certificate and --key go together"),
        ({"waiting": 0}, "--waiting 0 is not positive"),
        ({"body_seconds": -1.0}, "--body-seconds -1.0 is not positive"),
        ({"body_seconds": math.nan}, "--body-seconds nan is no number; take 0.001 to 3,600"),
        ({"patience": math.nan}, "--patience nan is no number"),
        ({"patience": math.inf}, "--patience inf is more than 3600"),
        ({"drain_seconds": math.nan}, "--drain-seconds nan is no number"),
        ({"drain_seconds": math.inf}, "--drain-seconds inf is more than 3600"),
        ({"drain_seconds": -1.0}, "--drain-seconds -1.0 is less than 0"),
        ({"drain_seconds": 5_000_000.0}, "--drain-seconds 5000000.0 is more than 3600"),
        ({"port": -1}, "--port -1 is less than 0; take 0 to 65,535"),
        ({"port": 65_536}, "--port 65536 is more than 65535"),
        ({"streams": -1}, "--streams -1 is less than 0"),
        ({"watched": 10**9}, "--watched 1000000000 is more than 1e\\+07"),
        ({"max_bytes": 10**13}, "--max-bytes 10000000000000 is more than"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changed, said):
    with pytest.raises(UserError, match=said):
        checked(Settings(purpose="faces in my calls", **changed))


def test_a_bundle_passes_its_self_test(tmp_path):
    assert proven(bundle(tmp_path / "bundle")).image_size == 48


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sharpness": 0.0}, "the same for all faces"),
        ({"sharpness": float("nan")}, "not finite"),
        ({"digests": {"model.onnx": "0" * 64}}, "sha256 differs"),
        ({"size": 32, "sharpness": 9.0}, None),
    ],
)
def test_a_bundle_that_cannot_be_trusted_is_refused(tmp_path, changed, said):
    folder = bundle(tmp_path / "bundle", **changed)
    if said is None:
        assert proven(folder).image_size == 32
        return
    with pytest.raises(UserError, match=said):
        proven(folder)


@pytest.fixture
def told():
    return []


def test_a_new_bundle_is_taken_and_a_broken_one_is_not(tmp_path, told):
    live = Live(bundle(tmp_path / "b"), tmp_path / "keep", lambda *what: told.append(what))
    first = live.bundle
    live.look()
    assert live.bundle is first
    bundle(tmp_path / "b", sharpness=30.0)
    live.look()
    second = live.bundle
    assert second.digest != first.digest
    (tmp_path / "b/model.onnx").write_bytes(b"broken")
    live.look()
    live.look()
    assert live.bundle is second
    assert [outcome for outcome, _ in told] == ["taken", "taken", "refused"]


@pytest.mark.fault("the bundle's folder is away")
def test_the_last_good_copy_is_started_from(tmp_path, told):
    folder, keep = bundle(tmp_path / "b"), tmp_path / "keep"
    digest = Live(folder, keep, lambda *_: None).bundle.digest
    for name in ("model.onnx", "bundle.json"):
        (folder / name).unlink()
    live = Live(folder, keep, lambda *what: told.append(what))
    assert live.bundle.digest == digest
    assert [outcome for outcome, _ in told] == ["last_good"]
    bundle(folder, sharpness=30.0)
    live.look()
    assert live.bundle.digest != digest


def test_the_smaller_network_answers_where_it_is_asked_for(tmp_path):
    faces = np.random.default_rng(0).integers(0, 256, (8, 48, 48, 1)).astype(np.uint8)
    exact, small = (
        Live(ROOT / "models/starter", tmp_path / one, lambda *_: None, one).bundle for one in FILES
    )
    apart = np.abs(exact.probabilities(faces) - small.probabilities(faces)).max()
    assert 1e-4 < apart < 0.2


def test_who_answers_is_named_with_its_version_where_numbers_and_events_are(tmp_path, told):
    folder = bundle(tmp_path / "b", lineage={"version": "3"})
    live = Live(folder, tmp_path / "keep", lambda *what: told.append(what))
    assert told == [("taken", f"quarters, version 3, sha256 {live.bundle.digest[:12]}")]
    metrics = Metrics()
    metrics.watch_all(Named(lambda: live.bundle))
    labels = f'architecture="quarters",sha256="{live.bundle.digest[:12]}",version='
    assert f'unveil_model{{{labels}"3"}} 1.0' in metrics.text().decode()
    bundle(folder, lineage={"version": "1"})
    live.look()
    assert 'version="1"} 1.0' in metrics.text().decode()
    assert 'version="3"' not in metrics.text().decode()


@pytest.mark.fault("a served bundle's card altered")
def test_a_bundle_whose_card_is_altered_is_not_taken(tmp_path, told):
    folder = bundle(tmp_path / "b", abstain_below=0.8)
    live = Live(folder, tmp_path / "keep", lambda *what: told.append(what))
    card = folder / "bundle.json"
    card.write_text(card.read_text().replace('"abstain_below": 0.8', '"abstain_below": 0.0'))
    live.look()
    assert live.bundle.abstain_below == 0.8
    assert "bundle.json is not what bundle.json.sha256 says" in told[-1][1]


def test_other_classes_need_a_new_start(tmp_path, told):
    live = Live(bundle(tmp_path / "b"), tmp_path / "keep", lambda *what: told.append(what))
    bundle(tmp_path / "b", classes=("a", "b", "c", "d"))
    live.look()
    assert live.bundle.classes[0] == "happy"
    assert "start the server anew" in told[-1][1]


@pytest.fixture
def batcher(tmp_path):
    live = Live(bundle(tmp_path / "b"), tmp_path / "keep", lambda *_: None)
    sizes = []
    batcher = Batcher(live, lambda faces, _: sizes.append(faces))
    yield batcher, sizes
    batcher.close()


def test_faces_that_wait_are_asked_about_together_and_answered_apart(batcher):
    asker, sizes = batcher

    async def ask():
        faces = [bright(label) for label in (3, 1, 0, 2) * 10]
        groups = [faces[start : start + 2] for start in range(0, 40, 2)]
        return await asyncio.gather(*map(asker.ask, groups))

    answered = np.concatenate([asked.probabilities for asked in asyncio.run(ask())])
    assert answered.argmax(axis=1).tolist() == [3, 1, 0, 2] * 10
    assert sum(sizes) == 40
    assert len(sizes) < 20


@pytest.mark.fault("the model fails on one face")
def test_a_face_the_model_fails_on_spoils_no_other(batcher):
    asker, _ = batcher

    async def ask():
        odd = asker.ask([np.zeros((48, 48, 3), np.uint8)])
        first = await asyncio.gather(odd, return_exceptions=True)
        return first[0], await asker.ask([bright(2)])

    failed, asked = asyncio.run(ask())
    assert isinstance(failed, ModelFailed)
    assert asked.probabilities.argmax() == 2
    assert asker.is_alive


def test_the_server_imports_no_learning():
    heavy = ("tensorflow", "keras", "mlflow", "prefect", "dvc", "pandas", "sklearn", "boto3")
    code = f"import sys, unveil.serving.run\nprint([n for n in {heavy} if n in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_token_file_that_is_nested_too_deep_is_one_line(tmp_path):
    path = tmp_path / "tokens.json"
    path.write_text("[" * 100_000)
    path.chmod(0o600)
    with pytest.raises(UserError, match=r"tokens.json is no token file"):
        tokens.load(path)
