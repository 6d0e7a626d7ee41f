"""A person leaves the archive, all its versions and what was made of them; nobody else does."""

import io
import json
import os
import shutil
import subprocess
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvc.repo import Repo
from PIL import Image
from tests import servers
from typer.testing import CliRunner

from unveil import (
    erase,
    history,
    ingest,
    journal,
    locks,
    manifest,
    objects,
    pack,
    params,
    registry,
    search,
)
from unveil.cli import app
from unveil.errors import UserError
from unveil.files import replacing, sha256, write_json
from unveil.images import decode, resize
from unveil.paths import ARCHIVE, CHECKPOINTS, MANIFEST, VERDICT
from unveil.request import Request, cleaned, named

# What DVC's `add` uses, called here and not by the product.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

CLASSES = ("happy", "neutral", "sad", "surprise")
PERSON = "p7"
THEIRS = ("train/happy/p7-0.png", "train/sad/p7-1.png", "test/happy/p7-2.png")
TWIN = "train/happy/other-name.png"
EARLIER = "train/neutral/p7-3.png"


def face(seed: int) -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (48, 48), dtype=np.uint8)
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def faces(*others: str) -> dict[str, bytes]:
    """An archive's members: a person's, a twin of one of them, and others' in every class."""
    names = [
        f"{split}/{label}/o{n}.png"
        for split in manifest.SPLITS
        for label in CLASSES
        for n in (0, 1)
    ]
    named = {name: face(100 + place) for place, name in enumerate(names)}
    named |= {name: face(int(name[-5])) for name in (*THEIRS, *others)}
    return named | {TWIN: face(0)}


def run(*command: str) -> str:
    environment = {
        **os.environ,
        "DVC_NO_ANALYTICS": "1",
        "PATH": f"{servers.BIN}:{os.environ['PATH']}",
    }
    said = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout


def commit(message: str) -> str:
    run("git", "add", "--all")
    run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", message)
    return run("git", "rev-parse", "HEAD").strip()


def version(members: dict[str, bytes], message: str) -> str:
    """Take in faces, list and pack them, put all under DVC and git, push it."""
    rows = ["file,subject,glasses"]
    rows += [
        f"{name},{Path(name).name.split('-')[0]},no" for name in sorted(members) if name != TWIN
    ]
    Path("groups.csv").write_text("\n".join([*rows, ""]))
    with zipfile.ZipFile("source.zip", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    loaded = params.load()
    ingest.ingest(Path("source.zip"), layout=manifest.layout(loaded), attributes=Path("groups.csv"))
    Path("source.zip").unlink()
    Path("groups.csv").unlink()
    ingest.track()
    manifest.make(ARCHIVE, loaded)
    write_json(
        VERDICT,
        {
            "manifest": sha256(MANIFEST),
            "passed": True,
            "first": [name for name in THEIRS if name in members],
        },
    )
    pack.make(ARCHIVE, MANIFEST, loaded, validation=VERDICT)
    made = [str(MANIFEST), str(VERDICT), *map(str, sorted(Path("data/03_packed").glob("*.npz")))]
    lock_training(message)
    with Repo() as repo:
        repo.add(made)
        repo.push()
    return commit(message)


def lock_training(name: str) -> None:
    """Write what dvc.lock says after a training."""
    deps = [{"path": path, "md5": md5(path)} for path in ("data/03_packed/train.npz",)]
    stage = {"cmd": "true", "deps": deps, "outs": [{"path": "model", "md5": f"{name:0>32}"}]}
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": {"train@cnn3": stage}}))


def md5(path: str) -> str:
    from unveil.provenance import dvc_hash

    return dvc_hash(Path(path))


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A folder with a project under git and DVC, before any faces, whose remote lies beside it."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "project").mkdir()
    shutil.copy(Path(__file__).parents[2] / "params.yaml", folder / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "project")
        run("git", "init", "--quiet")
        run("dvc", "init", "--quiet")
        run("dvc", "remote", "add", "--quiet", "-d", "store", "../remote")
        Path(".gitignore").write_text("/data/*/?*\n!/data/*/*.dvc\n/mlflow\n")
    return folder


@pytest.fixture(scope="module")
def grown(base, tmp_path_factory) -> Path:
    """With an older version of the archive, of one picture more of the person, and that of now."""
    folder = tmp_path_factory.mktemp("grown") / "copy"
    shutil.copytree(base, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "project")
        version(faces(EARLIER), "1")
        version(faces(), "2")
    return folder


@pytest.fixture
def place(base, tmp_path, monkeypatch) -> Path:
    return _copied(base, tmp_path, monkeypatch)


@pytest.fixture
def two_versions(grown, tmp_path, monkeypatch) -> Path:
    return _copied(grown, tmp_path, monkeypatch)


def _copied(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy/project")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "copy/project"


def everywhere() -> dict[str, bytes]:
    """Every file of the workspace, the cache and the remote, read whole."""
    found = (
        path for root in (Path(), Path("../remote")) for path in root.rglob("*") if path.is_file()
    )
    return {str(path): path.read_bytes() for path in found if "/.git/" not in f"/{path}"}


def holders(*seeds: int) -> list[str]:
    """Where pictures are, found without any code of ours: files, members, and packed pixels."""
    found = []
    images = [face(seed) for seed in seeds]
    pixels = [np.asarray(Image.open(io.BytesIO(image))).tobytes() for image in images]
    for path, content in everywhere().items():
        if any(needle in content for needle in (*images, *pixels)):
            found.append(path)
    return found


def erased(*arguments: str) -> str:
    said = CliRunner().invoke(app, ["data", "erase", *arguments], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    return said.output


def test_a_subject_is_nowhere_any_more_and_all_others_are(two_versions):
    before = holders(0, 1, 2, 3)
    assert len(before) > 8
    said = erased("--subject", PERSON)
    assert holders(0, 1, 2, 3) == []
    texts = b"".join(
        content for path, content in everywhere().items() if not path.endswith((".npz", ".zip"))
    )
    assert b"p7-" not in texts
    assert "a search finds none left" in said
    assert "2 commits name versions that can no longer be checked out" in said
    assert "trained with it: cnn3 at" in said
    with zipfile.ZipFile(ARCHIVE) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    table = kept.pop("attributes.csv").decode()
    assert kept == {name: one for name, one in faces().items() if name not in (*THEIRS, TWIN)}
    assert "p7" not in table and table.count("\n") == len(kept) + 1
    assert md5(str(ARCHIVE)) in Path(f"{ARCHIVE}.dvc").read_text()


def test_the_exact_twins_of_a_member_go_and_are_named(two_versions):
    said = erased("--member", THEIRS[0])
    assert TWIN in said
    assert holders(0) == []
    assert holders(1)
    with zipfile.ZipFile(ARCHIVE) as archive:
        assert set(faces()) - set(archive.namelist()) == {THEIRS[0], TWIN}


def test_a_version_without_the_person_stays(place):
    version({name: one for name, one in faces().items() if name not in (*THEIRS, TWIN)}, "1")
    kept = {path for path in everywhere() if "files/md5" in path}
    version(faces(), "2")
    erased("--subject", PERSON)
    assert kept <= set(everywhere())
    commit("erased")
    run("git", "checkout", "-q", "HEAD~2")
    run("dvc", "checkout", "--quiet")


def test_someone_in_an_older_version_alone_is_found_there(two_versions):
    erased("--member", EARLIER)
    assert holders(3) == []
    assert holders(0)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("feedback-ab.png", ["train/sad/0000012-feedback-ab.png"]),
        ("sad/feedback-ab.png", ["train/sad/0000012-feedback-ab.png"]),
        ("0000012-feedback-ab.png", ["train/sad/0000012-feedback-ab.png"]),
        ("a.png", ["train/sad/a.png"]),
        ("back-ab.png", []),
        ("b.png", []),
        ("c.png", ["test/sad/10000000-c.png"]),
    ],
)
def test_a_member_is_found_with_and_without_the_number_that_an_export_gave_it(asked, found):
    names = ["train/sad/0000012-feedback-ab.png", "train/sad/a.png", "train/sad/0000013-a.png"]
    names += ["train/sad/a1234567-b.png", "test/sad/10000000-c.png"]
    with zipfile.ZipFile(io.BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, b"")
        assert named(archive, Request(asked, None, "subject"))[0] == found


def test_a_dry_run_changes_nothing(two_versions):
    before = everywhere()
    said = erased("--subject", PERSON, "--dry-run")
    assert {path: one for path, one in everywhere().items() if ".dvc/tmp" not in path} == {
        path: one for path, one in before.items() if ".dvc/tmp" not in path
    }
    assert "5 members" in said
    assert "in store: " in said
    assert not erase.PLAN.exists()


STEPS = {
    "the archive is written": (erase, "cleaned"),
    "DVC knows it": (ingest, "track"),
    "the workspace is clean": (erase, "clean_workspace"),
    "one store is clean": (objects.Store, "delete"),
    "all stores are clean": (erase, "_delete"),
    "the journal tells of it": (journal, "record"),
    "models are marked": (registry, "mark_erased"),
}


@pytest.mark.parametrize("step", STEPS)
def test_killed_after_any_step_and_run_again_it_completes(two_versions, monkeypatch, step):
    where, name = STEPS[step]
    real = getattr(where, name)

    def dying(*arguments, **keywords):
        real(*arguments, **keywords)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, name, dying)
        todo, _ = erase.plan(erase.Request(None, PERSON, "subject"))
        with pytest.raises(KeyboardInterrupt):
            erase.carry_out(todo)
    assert "it goes on" in erased()
    assert holders(0, 1, 2, 3) == []
    assert not erase.PLAN.exists()
    with zipfile.ZipFile(ARCHIVE) as archive:
        assert not {*THEIRS, TWIN} & set(archive.namelist())
    assert md5(str(ARCHIVE)) in Path(f"{ARCHIVE}.dvc").read_text()


def test_while_a_training_or_an_audit_runs_nothing_is_touched(two_versions):
    for folder, word in ((Path(".checkpoints/cnn3"), "cnn3"), (Path("data/06_audit"), "audit")):
        before = everywhere()
        with locks.alone(folder, ""), pytest.raises(UserError, match=f"{word} .*this checkout"):
            CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
        left = {path for path, one in everywhere().items() if before.get(path) != one}
        assert not [path for path in left if Path(path).name != "lock" and ".dvc/tmp" not in path]
    assert not erase.PLAN.exists()
    begun = Path(".checkpoints/cnn3/identity/000001-digest.npz")
    begun.parent.mkdir()
    begun.touch()
    erased("--subject", PERSON)
    assert [path.name for path in Path(".checkpoints/cnn3").iterdir()] == ["lock"]


def test_a_registry_that_is_away_is_said_and_marked_later(two_versions, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{servers.free_port()}")
    with pytest.raises(UserError, match=r"are erased, but no model is marked; .*MLflow at"):
        CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
    assert holders(0, 1, 2, 3) == []
    assert b"p7" not in erase.PLAN.read_bytes()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    erased("--subject", PERSON)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--member", "nobody.png"), "no version of the archive has a member 'nobody.png'"),
        (("--member", "o0.png"), "'o0.png' names 12 members"),
        (("--subject", "p8"), "no attributes.csv has a subject 'p8'"),
        (("--subject", "p7", "--column", "who"), "no attributes.csv has a column 'who'"),
        ((), "give --member NAME or --subject ID"),
        (("--member", "a", "--subject", "b"), "give --member NAME or --subject ID"),
    ],
)
def test_whom_nobody_knows_is_said_in_one_line(two_versions, arguments, line):
    with pytest.raises(UserError, match=line) as refusal:
        CliRunner().invoke(app, ["data", "erase", *arguments], catch_exceptions=False)
    assert "\n" not in str(refusal.value)


def test_the_digest_is_the_manifests(two_versions):
    rows = pd.read_parquet(MANIFEST).set_index("member")["sha256"]
    with zipfile.ZipFile(ARCHIVE) as archive:
        for name in search.images(archive):
            assert search.picture(archive, name)[0] == rows[name]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with servers.s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.mark.parametrize("keeps", [False, True], ids=["plain", "versioned"])
def test_on_s3_all_versions_of_an_object_go(place, endpoint, monkeypatch, keeps):
    monkeypatch.setattr(objects, "PAGE", 2)
    for name, value in servers.S3_KEYS.items():
        monkeypatch.setenv(name, value)
    client, bucket = servers.s3(endpoint), f"faces-{keeps}".lower()
    client.create_bucket(Bucket=bucket)
    if keeps:
        status = {"Status": "Enabled"}
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=status)
    run("dvc", "remote", "modify", "store", "url", f"s3://{bucket}/data")
    run("dvc", "remote", "modify", "store", "endpointurl", endpoint)
    version(faces(), "1")
    # On a bucket that keeps versions an object may be there more than once.
    for one in client.list_objects_v2(Bucket=bucket)["Contents"]:
        body = client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
        for _ in range(3):
            client.put_object(Bucket=bucket, Key=one["Key"], Body=body)
        client.put_object(Bucket=bucket, Key=f"{one['Key']}.dir", Body=b"of another object")
    erased("--subject", PERSON)
    stored = client.list_object_versions(Bucket=bucket)
    assert stored.get("DeleteMarkers", []) == []
    left = [
        client.get_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])["Body"].read()
        for one in stored["Versions"]
    ]
    assert left
    assert not any(face(seed) in content for seed in range(3) for content in left)
    run("dvc", "push", "--quiet", "data/01_raw/faces.zip.dvc")


def test_the_journal_tells_of_it_without_a_name(two_versions):
    erased("--subject", PERSON)
    lines = [json.loads(line) for line in Path("data/journal.jsonl").read_text().splitlines()]
    assert lines[-1]["verb"] == "erase"
    assert lines[-1]["images"] == 5
    assert lines[-1]["archive"] == md5(str(ARCHIVE))
    assert "p7" not in json.dumps(lines)


def test_the_versions_that_learned_from_it_are_marked_once_and_no_other(place):
    client = registry.connect()
    client.create_registered_model("facial-emotion")
    for digest in ("a" * 32, "b" * 32):
        run = client.create_run(client.get_experiment_by_name("facial-emotion").experiment_id)
        data = {"training": {"path": "data/03_packed/train.npz", "md5": digest}}
        client.log_inputs(run.info.run_id, datasets=registry.runs._inputs(data))
        client.create_model_version("facial-emotion", "file:///absent", run.info.run_id)
    for note in ("2026-01-01: 2 images", "2026-01-02: 1 images", "2026-01-02: 1 images"):
        assert registry.mark_erased(["a" * 32], note) == ["facial-emotion version 1"]
    tags = client.get_model_version("facial-emotion", "1").tags
    assert tags == {"erasure": "2026-01-01: 2 images; 2026-01-02: 1 images"}
    assert client.get_model_version("facial-emotion", "2").tags == {}


@pytest.mark.parametrize("spelt", [("", ","), ("", ";"), ("", "\t"), (" ", ","), ("\ufeff", ";")])
def test_a_table_beside_the_archive_loses_the_rows_about_the_person_alone(tmp_path, spelt):
    before, comma = spelt
    person = search.Person(frozenset({"happy/a.png"}), {"d" * 64: face(0)})
    table = tmp_path / "corrections.csv"
    head = "SHA256,member,action" if before else "sha256,member,action"
    rows = [head, f"{'d' * 64},sad/b.png,drop", f"{'e' * 64}, happy/a.png,keep"]
    told = "\n".join([*rows, f"{'f' * 64},unhappy/a.png,keep", ""])
    table.write_text(before + told.replace(",", comma))
    assert search.holds(table, person)
    cleaned(table, person)
    assert table.read_text() == f"{head}\n{'f' * 64},unhappy/a.png,keep\n"
    assert not search.holds(table, person)


@pytest.mark.parametrize("side", [48, 64])
def test_a_face_is_found_in_an_array_by_itself_whatever_its_size(tmp_path, side):
    theirs = decode(face(0)).pixels
    others = [decode(face(seed)).pixels for seed in (1, 2)]
    person = search.Person(frozenset({"theirs.png"}), {"d" * 64: face(0)})
    for seen, holds in (([*others, theirs], True), (others, False)):
        np.save(tmp_path / "faces.npy", np.stack([resize(one, side)[..., None] for one in seen]))
        assert search.holds(tmp_path / "faces.npy", person) is holds


@pytest.mark.parametrize(
    "spelt", ["happy/é&'.png", "happy/\\u00e9&'.png", "happy/é&amp;&#x27;.png"]
)
def test_a_name_is_found_as_json_and_html_write_it(tmp_path, spelt):
    person = search.Person(frozenset({"happy/é&'.png"}), {})
    (tmp_path / "page").write_text(f'<td>"{spelt}"</td>')
    assert search.holds(tmp_path / "page", person)
    (tmp_path / "page").write_text(f'<td>"train/{spelt}"</td>')
    assert not search.holds(tmp_path / "page", person)


def test_what_cannot_be_looked_into_is_named_and_nothing_is_called_proved(two_versions):
    packed = Path("data/03_packed/test.npz").read_bytes()
    # Of other faces, and cut: nobody can tell.
    Path("data/05_reports").mkdir(parents=True)
    (cut := Path("data/05_reports/cut.npz")).write_bytes(b"PK\3\4" + packed[-900:-100])
    (mine := Path("../project/copy.png")).write_bytes(face(0))
    said = CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
    assert said.exit_code == 3
    assert "NOT PROVED: a search could not look into, or may not delete, 2:" in said.output
    assert f"  {cut}: is damaged: " in said.output
    assert "  copy.png: holds it and is not unveil's to delete" in said.output
    assert "finds none left" not in said.output
    lines = [json.loads(line) for line in Path("data/journal.jsonl").read_text().splitlines()]
    assert lines[-1]["unproved"] == 2
    cut.unlink()
    mine.unlink()
    assert "a search finds none left" in erased()
    assert holders(0, 1, 2, 3) == []


def test_a_person_may_end_what_is_not_proved(two_versions):
    Path("film.bin").write_bytes(b"\0\1\2 of a kind nobody knows")
    said = CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
    assert (said.exit_code, erase.PLAN.exists()) == (3, True)
    assert "film.bin: is of a kind that is not known" in erased("--accept")
    assert not erase.PLAN.exists()


def test_what_a_living_command_makes_is_waited_for(two_versions):
    made = replacing(Path("data/03_packed/train.npz"))
    with suppress(FileNotFoundError), made, pytest.raises(UserError, match="is being made"):
        CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)


def test_while_a_network_learns_nothing_is_looked_for_or_begun(two_versions):
    with locks.alone(CHECKPOINTS / "cnn3", ""):
        said = CliRunner().invoke(app, ["data", "erase", "--subject", PERSON])
    assert "cnn3 is being trained" in str(said.exception)
    assert (said.output, erase.PLAN.exists()) == ("", False)


def unproved(*lines: str) -> None:
    """Erase the person; what is not proved is named by these lines, and by no others."""
    said = CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
    assert said.exit_code == 3, said.output
    assert "finds none left" not in said.output
    told = said.output.partition("NOT PROVED")[2]
    assert f"delete, {len(lines)}:" in told, told
    for line in lines:
        assert f"  {line}" in told, told


def test_a_remote_whose_disk_is_away_is_not_proved_until_it_is_back(two_versions):
    away = Path("../away").resolve()
    Path("../remote").rename(away)
    unproved(f"store: {away.with_name('remote')} is not there")
    away.rename(away.with_name("remote"))
    assert "a search finds none left" in erased()
    assert holders(0, 1, 2, 3) == []


def test_an_empty_remote_is_proved_and_so_is_a_cache_that_is_not_there_yet(two_versions):
    shutil.rmtree("../remote")
    Path("../remote").mkdir()
    shutil.rmtree(".dvc/cache")
    assert "a search finds none left" in erased("--subject", PERSON)


def test_a_cache_of_ones_own_whose_disk_is_away_is_not_proved(two_versions):
    Path("../cache").mkdir()
    run("dvc", "cache", "dir", "--local", "../cache")
    Path("../cache").rmdir()
    with objects.stores() as stores:
        assert ["is not there" in one for one in stores[0].unlisted()] == [True]


def test_a_remote_that_gives_no_list_is_not_proved(two_versions):
    run("dvc", "remote", "modify", "store", "url", f"http://127.0.0.1:{servers.free_port()}")
    unproved("store: http gives no list of what is there")


def test_a_bucket_that_is_not_there_is_not_proved_and_an_empty_one_is(place, endpoint, monkeypatch):
    for name, value in servers.S3_KEYS.items():
        monkeypatch.setenv(name, value)
    servers.s3(endpoint).create_bucket(Bucket="empty")
    for bucket, count in (("empty", 0), ("renamed", 1)):
        run("dvc", "remote", "modify", "store", "url", f"s3://{bucket}/data")
        run("dvc", "remote", "modify", "store", "endpointurl", endpoint)
        with objects.stores() as stores:
            found = [one for store in stores for one in store.unlisted()]
        assert len(found) == count, found
        assert all("store: renamed/data cannot be listed: " in one for one in found)


def test_what_fails_without_a_word_is_told_by_its_kind(two_versions, monkeypatch):
    def refuse(_store):
        raise NotImplementedError

    monkeypatch.setattr(objects.Store, "ids", refuse)
    with pytest.raises(UserError, match="DVC, store: NotImplementedError"), objects.stores():
        pass


def test_a_version_without_a_run_is_marked_and_named_and_stops_nothing(place, capfd):
    client = registry.connect()
    client.create_registered_model("facial-emotion")
    client.create_model_version("facial-emotion", "file:///absent")
    client.create_model_version("facial-emotion", "file:///absent", "f" * 32)
    for _ in range(2):
        marked = registry.mark_erased(["a" * 32], "2026-01-01: 2 images")
        assert marked == ["facial-emotion version 1", "facial-emotion version 2"]
    assert "facial-emotion version 1 has no run: what it" in capfd.readouterr().err
    for number in ("1", "2"):
        tags = client.get_model_version("facial-emotion", number).tags
        assert tags == {"erasure": "2026-01-01: 2 images, perhaps: no run tells"}


def broken_lock(text: str) -> str:
    """Commit a dvc.lock, after it the whole one again; gives the commit's beginning."""
    lock = Path("dvc.lock")
    whole = lock.read_text()
    lock.write_text(text)
    broken = commit("a merge")
    lock.write_text(whole)
    commit("mended")
    return broken[:12]


def test_a_commit_whose_lock_is_no_yaml_is_named_and_nothing_is_called_proved(two_versions):
    whole = Path("dvc.lock").read_text()
    broken = broken_lock(f"<<<<<<< HEAD\n{whole}\n=======\n{whole}\n>>>>>>> other\n")
    line = f"  dvc.lock at {broken}: not looked into for trainings: it is no YAML: "
    asked = ["data", "erase", "--subject", PERSON]
    foretold = CliRunner().invoke(app, [*asked, "--dry-run"], catch_exceptions=False).output
    assert line in foretold.partition("it would not be proved:")[2]
    said = CliRunner().invoke(app, asked, catch_exceptions=False)
    assert said.exit_code == 3
    assert line in said.output.partition("NOT PROVED:")[2]
    assert "finds none left" not in said.output
    assert "trained with it: cnn3 at" in said.output
    assert erase.PLAN.exists()
    assert line in erased("--accept")
    assert not erase.PLAN.exists()


GONE = "a" * 32
WHOLE = {
    "cmd": "true",
    "deps": [{"path": "train.npz", "md5": GONE}],
    "outs": [{"path": "model", "md5": "b" * 32}],
}


def lock_of(stage: object) -> str:
    return json.dumps({"schema": "2.0", "stages": {"train@cnn3": stage}})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "not as DVC writes it"),
        ("{}", "not as DVC writes it"),
        ("a text", "not as DVC writes it"),
        ("schema: '2.0'\nstages:\n", "not as DVC writes it"),
        ("schema: '2.0'\nstages: [train@cnn3]\n", "not as DVC writes it"),
        (json.dumps({"train@cnn3": WHOLE}), "not as DVC writes it"),
        (lock_of(None), "not as DVC writes it"),
        (lock_of({**WHOLE, "outs": None}), "not as DVC writes it"),
        (lock_of({**WHOLE, "deps": {"train.npz": GONE}}), "not as DVC writes it"),
        (lock_of({**WHOLE, "deps": [GONE]}), "not as DVC writes it"),
        (lock_of({**WHOLE, "deps": [{"path": "a", "md5": 7}]}), "not as DVC writes it"),
        (lock_of({**WHOLE, "deps": [{"path": "a"}]}), "train@cnn3 has no md5 of a"),
        (lock_of({**WHOLE, "deps": [{"path": "a", "md5": None}]}), ""),
        (lock_of({**WHOLE, "outs": [{"path": "model"}]}), "train@cnn3 has no md5 of model"),
        (lock_of({**WHOLE, "deps": []}), "train@cnn3 has no md5 of deps"),
        (lock_of({**WHOLE, "deps": WHOLE["deps"] * 2})[:-3], "no YAML"),
        ("schema: '2.0'\nschema: '2.0'\nstages: {}\n", "no YAML"),
        ("[" * 100_000, "no YAML"),
        ("a: !!python/none x", "not as DVC writes it"),
        ("a: 2026-13-45", "no YAML"),
        ("\udcff", "no YAML"),
    ],
)
def test_a_lock_of_another_form_in_a_commit_is_not_passed_over(place, text, why):
    Path("faces.dvc").write_text(f"outs:\n- md5: {GONE}\n  path: faces\n")
    Path("dvc.lock").write_bytes(os.fsencode(text))
    made = commit("a lock of another form")
    trained, unread = history.trainings([GONE], history.commits([GONE]))
    assert (trained, len(unread)) == ([], 1)
    assert unread[0].startswith(f"dvc.lock at {made[:12]}: not looked into for trainings: ")
    assert why in unread[0]
    assert len(unread[0].splitlines()) == 1


def test_a_lock_that_git_cannot_give_is_not_passed_over(place):
    Path("dvc.lock").write_text(lock_of(WHOLE))
    commit("a training")
    Path("faces.dvc").write_text(f"outs:\n- md5: {GONE}\n  path: faces\n")
    Path("dvc.lock").unlink()
    commit("without a lock")
    named = history.commits([GONE])
    assert (len(named), *history.trainings([GONE], named)) == (2, [f"cnn3 at {named[1][:12]}"], [])
    lost = run("git", "rev-parse", f"{named[1]}:dvc.lock").strip()
    Path(".git/objects", lost[:2], lost[2:]).unlink()
    assert history.commits([GONE]) == named
    assert f"dvc.lock at {named[1][:12]}: not looked" in history.trainings([GONE], named)[1][0]


def test_a_project_below_the_top_of_its_repository_has_its_history(place):
    (below := Path("below")).mkdir()
    (below / "dvc.lock").write_text(lock_of(WHOLE))
    made = commit("a training")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below)
        found = history.trainings([GONE], history.commits([GONE]))
    assert found == ([f"cnn3 at {made[:12]}"], [])


@pytest.mark.parametrize("content", ["", '{"data": null}', '{"data": {"training": 1}}', "[]"])
def test_a_training_that_does_not_tell_is_named(place, content):
    (run_of := Path("data/04_models/cnn3/run.json")).parent.mkdir(parents=True)
    run_of.write_text(content)
    trained, unread = erase.models([GONE])
    assert trained == []
    assert unread[0].startswith(f"{run_of} cannot be read: ")


def test_where_git_refuses_nothing_is_begun(two_versions, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    before = everywhere()
    with pytest.raises(UserError, match=r"another user; run: git config .*safe.directory"):
        CliRunner().invoke(app, ["data", "erase", "--subject", PERSON], catch_exceptions=False)
    assert everywhere() == before


@pytest.mark.parametrize(
    "content",
    [
        *("[]", "{}", '{"images": 1}', "null", "[" * 100_000),
        '{"images": "1", "members": [], "pictures": {}}',
        '{"images": 1, "members": "abc", "pictures": {}}',
        '{"images": 1, "members": [], "pictures": {"a": "x"}}',
        '{"images": 1, "members": [], "pictures": {"a": 7}}',
        '{"images": 1, "members": [], "pictures": {}, "more": 1}',
    ],
)
def test_an_erasure_of_another_form_is_one_line_and_stays(place, content):
    erase.PLAN.parent.mkdir(parents=True, exist_ok=True)
    erase.PLAN.write_text(content)
    with pytest.raises(UserError, match=r"erase.json .*move it away, and run `unveil data erase`"):
        erase.pending()
    assert erase.PLAN.read_text() == content
