"""Every command that reads a damaged artifact names it in a one-line error, with exit code 2."""

import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.support.bundles import made
from tests.support.candidates import quadrants, trained

from unveil.cli import app, exit_codes
from unveil.common.paths import (
    ARCHIVE,
    AUDIT_COUNTS,
    BUNDLE,
    COMPARISON,
    CORRECTIONS,
    MANIFEST,
    MODELS,
    PACKED,
    PROMOTION,
    REPORTS,
    SUMMARY,
    SUSPECTS,
    TRACKING,
    VALIDATION,
)
from unveil.config import params
from unveil.data import ingest, manifest, synthetic

KEY = "cnn3_gray"
FACE = str(ROOT / "docs/sample.png")
TOKENS = Path("tokens.json")
ANY = ("cut", "junk", "empty", "folder")
TABLE = ("junk", "folder")
"""Of a table of text, half or nothing may be a table too."""
READ = [
    ("manifest", ARCHIVE, ANY),
    ("manifest", CORRECTIONS, TABLE),
    ("validate", MANIFEST, ANY),
    ("pack", MANIFEST, ANY),
    ("pack", VALIDATION, ANY),
    ("pack", ARCHIVE, ANY),
    ("data card", MANIFEST, ANY),
    ("data card", SUMMARY, ANY),
    ("data card", VALIDATION, ANY),
    ("data card", AUDIT_COUNTS, ANY),
    ("data audit", MANIFEST, ANY),
    ("data audit", ARCHIVE, ANY),
    ("data audit", SUSPECTS, TABLE),
    ("data export out.zip", MANIFEST, ANY),
    ("data export out.zip", ARCHIVE, ANY),
    ("data diff HEAD", MANIFEST, ANY),
    ("data review decided.csv", MANIFEST, ANY),
    (f"train {KEY}", PACKED / "train.npz", ("junk", "folder")),
    (f"evaluate {KEY}", MODELS / KEY / "model.keras", ANY),
    (f"evaluate {KEY}", MODELS / KEY / "history.csv", TABLE),
    (f"evaluate {KEY}", PACKED / "test.npz", ANY),
    (f"evaluate {KEY}", PACKED / "test.parquet", ANY),
    ("compare", REPORTS / KEY / "metrics.json", ANY),
    ("compare", MODELS / KEY / "model.keras", ("folder",)),
    (f"explain {KEY}", MODELS / KEY / "model.keras", ("folder",)),
    (f"explain {KEY}", REPORTS / KEY / "metrics.json", ANY),
    (f"explain {KEY}", REPORTS / KEY / "predictions.csv", TABLE),
    (f"export --architecture {KEY}", MODELS / KEY / "model.keras", ANY),
    (f"export --architecture {KEY}", MODELS / KEY / "run.json", ANY),
    (f"export --architecture {KEY}", REPORTS / KEY / "metrics.json", ANY),
    (f"export --architecture {KEY}", PACKED / "test.npz", ANY),
    ("publish", MODELS / KEY / "run.json", ANY),
    ("promote --dry-run", COMPARISON, ANY),
    ("promote --dry-run", VALIDATION, ANY),
    ("report", COMPARISON, ANY),
    ("report", PROMOTION, ANY),
    ("report", VALIDATION, ANY),
    ("report", MODELS / KEY / "run.json", ANY),
    ("champion", TRACKING / "mlflow.db", ("cut", "junk", "folder")),
    (f"predict {FACE}", BUNDLE / "bundle.json", ANY),
    (f"predict {FACE}", BUNDLE / "model.onnx", ANY),
    ("token kiosk", TOKENS, ANY),
    ("token kiosk --revoke", TOKENS, ANY),
    ("serve --purpose 'a try at home by one person' --token-file tokens.json", TOKENS, ANY),
]
HISTORY = """epoch,stage,seconds,timestamp,loss,val_loss,macro_f1,val_macro_f1
0,1,0.5,1,1.0,1.0,0.5,0.5
1,2,0.5,2,1.0,1.0,0.5,0.5
"""
CASES = [(verb, path, damage) for verb, path, damages in READ for damage in damages]


def ended(words: str) -> int:
    # As in a separate process, where warnings are no errors.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return exit_codes.status(lambda: app(shlex.split(words), standalone_mode=False))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Iterator[Path]:
    """A project with all artifacts, made once for all tests."""
    folder, before = tmp_path_factory.mktemp("whole"), Path.cwd()
    shutil.copy(ROOT / "params.yaml", folder)
    os.chdir(folder)
    loaded = params.load()
    samples = folder / "sample.zip"
    synthetic.draw_dataset(samples, counts=loaded.sample, seed=loaded.data.seed)
    ingest.ingest(samples, layout=manifest.archive_layout(loaded))
    for verb in ("manifest", "validate", "pack"):
        assert ended(verb) == 0, verb
    trained(KEY, quadrants(12.0), loaded)
    (MODELS / KEY / "history.csv").write_text(HISTORY)
    for verb in (f"evaluate {KEY}", "compare", "token other"):
        assert ended(verb) == 0, verb
    made(BUNDLE)
    PROMOTION.write_text(COMPARISON.read_text())
    for path in (CORRECTIONS, SUSPECTS, AUDIT_COUNTS):
        path.parent.mkdir(exist_ok=True)
    CORRECTIONS.write_text("sha256,member,action,label\n")
    SUSPECTS.write_text("sha256,action\n")
    AUDIT_COUNTS.write_text("{\n}\n")
    yield folder
    os.chdir(before)


def damaged(path: Path, damage: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        put = {"cut": content[: len(content) // 2], "junk": b"\xff\xfe\0junk", "empty": b""}
        path.write_bytes(put[damage])
        path.chmod(0o600)


@pytest.fixture
def restored(whole, monkeypatch) -> Iterator[Path]:
    """The project with all artifacts; each test restores the file that it damages."""
    from unveil.registry import database

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(whole)
    database._complete_files.clear()
    with tempfile.TemporaryDirectory() as kept:
        yield Path(kept)


@pytest.mark.parametrize(("verb", "path", "damage"), CASES)
def test_a_damaged_file_is_a_one_line_error_that_names_it(restored, capfd, verb, path, damage):
    keep = restored / "keep"
    shutil.copy2(path, keep)
    damaged(path, damage)
    try:
        code = ended(verb)
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.copy2(keep, path)
    output = capfd.readouterr().err
    assert code == 2, output
    assert "Traceback" not in output
    assert "unveil: unexpected" not in output
    assert [line for line in output.splitlines() if path.name in line], output


@pytest.mark.parametrize("verb", ["pack", "compare", "report", "promote --dry-run"])
def test_json_with_missing_keys_is_named(restored, capfd, verb):
    path = {"pack": VALIDATION, "compare": REPORTS / KEY / "metrics.json"}.get(verb, COMPARISON)
    content = path.read_text()
    path.write_text("{}")
    try:
        code = ended(verb)
    finally:
        path.write_text(content)
    assert code == 2
    assert f"{path} has no '" in capfd.readouterr().err


WRITES = (
    *("manifest", "validate", "pack", f"train {KEY}", "compare", "report", "data card"),
    *("data audit", "data export out.zip", f"export --architecture {KEY}", "token kiosk"),
)


def refused(words: str, *before: str, **options) -> None:
    """Run a command in its own process; expect a one-line error and exit code 2."""
    command = [*before, sys.executable, "-m", "unveil", *words.split()]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, **options)
    assert result.returncode == 2, result.stderr[-3000:]
    assert "Traceback" not in result.stderr, result.stderr[-3000:]
    assert "unveil: unexpected" not in result.stderr, result.stderr[-3000:]


def can_mount() -> bool:
    command = ["unshare", "--mount", "true"]
    known = bool(shutil.which("unshare"))
    return known and not subprocess.run(command, capture_output=True).returncode


@pytest.mark.fault("read-only file system")
@pytest.mark.skipif(not can_mount(), reason="mounting needs root")
@pytest.mark.parametrize("verb", [*WRITES, "champion"])
def test_a_read_only_file_system_is_a_one_line_error(restored, whole, verb):
    if verb == "champion":
        shutil.rmtree(TRACKING, ignore_errors=True)
    mount = f"mount --bind {whole} {whole} && mount -o remount,bind,ro {whole} && cd {whole}"
    refused(verb, "unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")


@pytest.mark.fault("no room for a file")
@pytest.mark.parametrize("verb", ["manifest", "pack", "compare", "data card", "token kiosk"])
def test_a_full_disk_is_a_one_line_error(restored, verb):
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))

    refused(verb, preexec_fn=small)
