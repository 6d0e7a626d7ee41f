"""Checkpoints: damaged ones, those of other runs, full disks, locks and identities."""

import dataclasses
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from unveil.common.errors import UserError
from unveil.config import params
from unveil.training import checkpoint
from unveil.training.checkpoint import Checkpoints, State

KEY = "cnn3_gray"


def state(number: float, size: int = 10) -> State:
    arrays = {"network": [np.full(size, number), np.zeros((2, 3), "int64")], "optimizer": []}
    return State(arrays=arrays, notes={"rows": [{"loss": number}], "best": 0.1 + number})


@pytest.fixture
def kept(tmp_path) -> Checkpoints:
    kept = Checkpoints(tmp_path / "cnn3" / "a1")
    for epoch in range(4):
        kept.save(epoch, state(epoch))
    return kept


def files(kept: Checkpoints) -> list[Path]:
    return kept._files()


def number(kept: Checkpoints) -> float | None:
    latest = kept.latest()
    return None if latest is None else latest.notes["rows"][0]["loss"]


def test_the_latest_checkpoint_is_read_and_two_are_kept(kept):
    latest = kept.latest()
    assert [one.tolist() for one in latest.arrays["network"]] == [[3.0] * 10, [[0] * 3] * 2]
    assert latest.arrays["optimizer"] == []
    assert latest.notes["best"] == 3.1
    assert [path.name[:6] for path in files(kept)] == ["000002", "000003"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.fault("checkpoint damaged")
@pytest.mark.parametrize("damage", [cut, alter, empty, Path.unlink])
def test_a_damaged_checkpoint_is_reported_and_the_previous_one_is_used(kept, damage, capfd):
    newest = files(kept)[-1]
    damage(newest)
    assert number(kept) == 2
    errors = capfd.readouterr().err
    assert errors.count("\n") == (damage is not Path.unlink)
    assert (newest.name in errors) == (damage is not Path.unlink)


@pytest.mark.fault("checkpoint damaged")
@pytest.mark.parametrize("damage", [cut, alter, empty, Path.unlink])
def test_two_damaged_checkpoints_restart_the_same_run(kept, damage, capfd):
    for path in files(kept):
        damage(path)
    assert number(kept) is None
    again = Checkpoints(kept._folder)
    assert again.origin == kept.origin
    again.save(0, state(7))
    assert number(again) == 7


def test_an_empty_folder_starts_a_new_run(tmp_path):
    (tmp_path / "a1").mkdir()
    (tmp_path / "a1/origin").touch()
    kept = Checkpoints(tmp_path / "a1")
    assert kept.latest() is None
    assert len(kept.origin) == 32


def test_a_checkpoint_of_another_run_is_not_used(kept, tmp_path, capfd):
    other = Checkpoints(tmp_path / "cnn3" / "b2")
    other.save(9, state(9))
    files(other)[0].rename(kept._folder / files(other)[0].name)
    assert number(kept) == 3
    assert "it belongs to another run" in capfd.readouterr().err


def test_only_older_runs_of_the_architecture_are_superseded(kept, tmp_path):
    Checkpoints(tmp_path / "cnn4/a1")
    older = Checkpoints(tmp_path / "cnn3/older")
    older.save(0, state(0))
    origins = []
    kept.supersede(origins.append)
    assert [path.name for path in older._folder.iterdir()] == ["origin"]
    kept.supersede(lambda origin: not origins.append(origin))
    assert [path.name for path in (tmp_path / "cnn3").iterdir()] == ["a1"]
    assert origins == [older.origin] * 2
    assert number(kept) == 3
    assert (tmp_path / "cnn4/a1/origin").exists()


def test_a_run_is_discarded_by_its_origin(place):
    first, second = (Checkpoints(Path(".checkpoints") / KEY / name) for name in ("a1", "b2"))
    checkpoint.discard(Path(".checkpoints", KEY), "0" * 32)
    assert first._folder.exists()
    checkpoint.discard(Path(".checkpoints", KEY), first.origin)
    assert [path.parent.name for path in second._folder.parent.rglob("origin")] == ["b2"]


@pytest.fixture
def small_disk(tmp_path) -> Path:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.fault("disk full at a checkpoint")
def test_a_full_disk_is_one_line_and_leaves_earlier_checkpoints(small_disk):
    kept = Checkpoints(small_disk / "a1")
    for epoch in range(3):
        kept.save(epoch, state(epoch, size=25_000))
    with pytest.raises(UserError, match=r"a1/checkpoint\.npz cannot be written: no space") as full:
        kept.save(3, state(3, size=100_000))
    assert "\n" not in str(full.value)
    assert number(kept) == 2
    kept.save(3, state(3, size=25_000))
    assert number(kept) == 3


def test_only_one_training_of_an_architecture_runs_at_a_time(packed):
    loaded = params.load()
    with (
        checkpoint.opened(KEY, loaded),
        checkpoint.opened("cnn3", loaded),
        pytest.raises(UserError, match="cnn3_gray is already being trained in this checkout"),
        checkpoint.opened(KEY, loaded),
    ):
        pass
    with checkpoint.opened(KEY, loaded):
        pass


def test_a_diverged_run_leaves_no_checkpoint_other_failures_do(packed):
    loaded = params.load()
    for failure, left in ((UserError, 1), (checkpoint.Diverged, 0)):
        with pytest.raises(failure), checkpoint.opened(KEY, loaded) as kept:
            kept.save(0, state(0))
            raise failure("no longer finite")
        assert len(files(kept)) == left


def identities(loaded: params.Params) -> set[str]:
    schedule = loaded.schedules[KEY]
    first, second = schedule.stages
    slower = dataclasses.replace(second, learning_rate=1e-4)
    entry = dataclasses.replace(loaded.architectures[KEY], dropout=0.1)
    training = dataclasses.replace(loaded.training, seed=5)
    changed = [
        {"schedules": {KEY: dataclasses.replace(schedule, stages=(first, slower))}},
        {"architectures": {KEY: entry}},
        {"training": training},
        {"classes": ("a", "b", "c", "d")},
        {"data": dataclasses.replace(loaded.data, image_size=32)},
    ]
    return {checkpoint.identity(KEY, dataclasses.replace(loaded, **change)) for change in changed}


def test_everything_that_determines_a_run_changes_its_identity(packed, monkeypatch):
    loaded = params.load()
    own = checkpoint.identity(KEY, loaded)
    assert own == checkpoint.identity(KEY, params.load())
    assert own == checkpoint.identity(KEY, dataclasses.replace(loaded, recipe="other"))
    others = identities(loaded)
    monkeypatch.setattr("keras.__version__", "3.0.0")
    others.add(checkpoint.identity(KEY, loaded))
    monkeypatch.undo()
    monkeypatch.chdir(packed)
    with (packed / "data/03_packed/validation.npz").open("ab") as file:
        file.write(b"one byte more")
    others.add(checkpoint.identity(KEY, loaded))
    assert len(others | {own}) == 8
