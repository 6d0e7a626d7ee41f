"""Audit logs: atomic appends, concurrent writers, and no personal data."""

import json
import multiprocessing
from pathlib import Path

import pytest

from unveil.common import audit_log
from unveil.common.errors import UserError
from unveil.common.paths import JOURNAL


def lines() -> list[dict]:
    return [json.loads(line) for line in JOURNAL.read_text().splitlines()]


def write(count: int) -> None:
    for number in range(count):
        audit_log.record("ingest", images=number, archive="0" * 32)


def test_concurrent_processes_lose_no_line(place: Path) -> None:
    others = [multiprocessing.get_context("spawn").Process(target=write, args=(50,)) for _ in "ab"]
    for process in others:
        process.start()
    write(50)
    for process in others:
        process.join(timeout=120)
    told = lines()
    assert sorted(line["images"] for line in told) == sorted([*range(50)] * 3)
    assert {line["verb"] for line in told} == {"ingest"}
    assert all(line["time"].endswith("+00:00") for line in told)


def test_an_incomplete_last_line_does_not_damage_the_next_one(place: Path) -> None:
    write(1)
    with JOURNAL.open("a") as torn:
        torn.write('{"time": "2026')
    write(1)
    first, half, last = JOURNAL.read_text().splitlines()
    assert json.loads(first)["images"] == json.loads(last)["images"] == 0
    assert half == '{"time": "2026'


def test_a_full_disk_is_a_one_line_error(place: Path) -> None:
    JOURNAL.parent.mkdir()
    JOURNAL.symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"journal\.jsonl cannot be written: no space left"):
        write(1)
