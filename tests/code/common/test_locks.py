"""Locks: concurrent changes lose nothing, and a timeout names the holder."""

import json
import multiprocessing
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pandas as pd
import pytest
from tests.support.bundles import made
from tests.support.servers import unveil_server

from unveil.common import locks
from unveil.common.errors import UserError
from unveil.common.files import atomic_write
from unveil.data import corrections
from unveil.data.feedback_store import FeedbackEntry, FeedbackFolder, FeedbackFull
from unveil.serving import tokens

SPAWN = multiprocessing.get_context("spawn")
CLASSES = ("happy", "sad")


def together(act, *arguments) -> list[int]:
    """Run ``act`` in one process for each argument, all started at the same moment."""
    barrier = SPAWN.Barrier(len(arguments))
    tried = [SPAWN.Process(target=_after, args=(barrier, act, one)) for one in arguments]
    for process in tried:
        process.start()
    for process in tried:
        process.join(timeout=300)
    return [process.exitcode for process in tried]


def _after(barrier, act, argument) -> None:
    barrier.wait()
    act(argument)


def issue(name: str) -> None:
    for number in range(5):
        tokens.issue(Path("tokens.json"), f"{name}{number}")


def issue_or_revoke(name: str) -> None:
    if name == "revoke":
        for number in range(5):
            tokens.revoke(Path("tokens.json"), f"old{number}")
    else:
        issue(name)


def review(name: str) -> None:
    faces = pd.read_csv("faces.csv")
    corrections.review(Path(f"{name}.csv"), faces, CLASSES)


def test_concurrently_issued_tokens_are_all_kept(place):
    assert together(issue, *"abcd") == [0] * 4
    kept = tokens.load(Path("tokens.json"))
    assert sorted(kept) == [f"{name}{number}" for name in "abcd" for number in range(5)]


def test_a_token_revoked_while_others_are_issued_stays_revoked(place):
    issue("old")
    assert together(issue_or_revoke, "a", "revoke", "b") == [0] * 3
    kept = tokens.load(Path("tokens.json"))
    assert sorted(kept) == [f"{name}{number}" for name in "ab" for number in range(5)]


def test_a_server_refuses_a_token_revoked_while_others_are_issued(place):
    issue("new")
    token = tokens.issue(Path("tokens.json"), "old")
    with unveil_server(place, made(place / "b"), "--token-file", "tokens.json") as url:

        def answered() -> int:
            headers = {"authorization": f"Bearer {token}"}
            return httpx.get(f"{url}/metrics", headers=headers).status_code

        assert answered() == 200
        with ThreadPoolExecutor(3) as threads:
            others = [threads.submit(issue, name) for name in "ab"]
            tokens.revoke(Path("tokens.json"), "old")
            assert answered() == 401
            assert [one.result() for one in others] == [None, None]
        assert answered() == 401
        token = tokens.issue(Path("tokens.json"), "old")
        assert answered() == 200


def test_concurrent_reviews_are_all_merged(place):
    digests = [f"{number:064x}" for number in range(200)]
    members = [f"{number}.png" for number in range(200)]
    faces = pd.DataFrame({"sha256": digests, "member": members})
    faces.to_csv("faces.csv", index=False)
    decided = faces.assign(action="drop", new_label="")
    names = [f"reviewed{number}" for number in range(2)]
    for number, name in enumerate(names):
        decided[number::2].to_csv(f"{name}.csv", index=False)
    assert together(review, *names) == [0] * 2
    assert sorted(corrections.read(CLASSES)["sha256"]) == digests


def test_two_servers_respect_the_feedback_limit(tmp_path):
    servers = [FeedbackFolder(tmp_path / "kept", 20) for _ in "ab"]

    def keep(number: int) -> bool:
        try:
            servers[number % 2].keep(FeedbackEntry("2026-01-01", "sad", None, "m"))
        except FeedbackFull:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        taken = sum(threads.map(keep, range(60)))
    lines = (tmp_path / "kept/feedback.jsonl").read_text().splitlines()
    assert (taken, len(lines)) == (20, 20)
    assert all(json.loads(line)["emotion"] == "sad" for line in lines)


def test_concurrent_replacements_leave_a_complete_folder(tmp_path):
    target, wrong = tmp_path / "bundle", []

    def write(name: str) -> None:
        try:
            for _ in range(40):
                with atomic_write(target) as folder:
                    folder.mkdir()
                    for part in "xyz":
                        (folder / part).write_text(name)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len({path.read_text() for path in target.iterdir()}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


HOLDER = """
import sys
from pathlib import Path
from unveil.common.locks import file_lock
with file_lock(Path("tokens.json")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_timeout_names_the_process_that_holds_the_lock(place):
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError) as refusal, locks.file_lock(Path("tokens.json"), seconds=0.2):
            pass
        holder.kill()
    said = f"tokens.json is being changed by process {holder.pid} ({command[0]}"
    assert str(refusal.value).startswith(said)
    # The lock went with the process.
    with locks.file_lock(Path("tokens.json"), seconds=5):
        pass
