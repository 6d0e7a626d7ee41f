"""Erasing a person from a project that has trained, explained, promoted and exported."""

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from tests.support import servers
from tests.support.independent_search import files_containing

KEY = "cnn3_gray"
KILLED = "data/03_packed/.unveil-train.npz-killed/train.npz"
HALF = ".abcdefghijklmnopqrstuv.tmp"
pytestmark = pytest.mark.slow  # six minutes: it trains and promotes first
FAULT = pytest.mark.fault("a person is to be forgotten after a training")


def call(folder: Path, *command: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **servers.S3_KEYS, "PATH": f"{servers.BIN}:{os.environ['PATH']}"}
    environment["PREFECT_HOME"] = str(folder.parent / "prefect")
    environment["TMPDIR"] = str(folder.parent / "tmp")
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=580
    )


def done(folder: Path, *command: str) -> str:
    result = call(folder, *command)
    assert result.returncode == 0, f"{command}: {result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout


def commit(folder: Path, message: str) -> None:
    done(folder, "git", "add", "--all")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done(folder, "git", *identity, "commit", "--quiet", "-m", message)


def settings(folder: Path) -> None:
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["sample"] = {"train": 160, "validation": 48, "test": 48}
    content["report"]["thumbnails"] = True
    content["architectures"] = {KEY: content["architectures"][KEY]}
    recipe = content["recipes"]["sample"]
    stages = [{**one, "epochs": 1} for one in recipe["schedules"][KEY]["stages"]]
    recipe["schedules"] = {KEY: {"stages": stages}}
    content["recipes"] = {"sample": recipe}
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with servers.s3_server(tmp_path_factory.mktemp("s3")) as url:
        client = servers.s3(url)
        client.create_bucket(Bucket="faces")
        yield url, client


@pytest.fixture(scope="module")
def whole(project, bucket) -> Path:
    """A project after train-all, with data on two remotes and manual corrections."""
    settings(project)
    (project.parent / "tmp").mkdir(exist_ok=True)
    done(project, "dvc", "remote", "add", "-d", "disk", "../disk")
    done(project, "dvc", "remote", "add", "s3", "s3://faces/data")
    done(project, "dvc", "remote", "modify", "s3", "endpointurl", bucket[0])
    result = call(project, sys.executable, "-m", "flows")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    # Such a short training is below the floor; forced promotion makes a bundle to search, too.
    done(project, "unveil", "promote", "--force", "--reason", "to have a bundle")
    commit(project, "trained")
    for remote in ("disk", "s3"):
        done(project, "dvc", "push", "--quiet", "-r", remote)
    done(project, "unveil", "report")
    return project


def shown(folder: Path) -> tuple[str, np.ndarray]:
    """A face of the test split that appears in an explanation."""
    page = (folder / f"data/05_reports/explanations/{KEY}").glob("*.html")
    text = "".join(one.read_text() for one in page)
    with zipfile.ZipFile(folder / "data/01_raw/faces.zip") as archive:
        name = next(one for one in archive.namelist() if "/test/" in one and one in text)
        return name, pixels(archive.read(name))


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def plant(folder: Path, name: str) -> list[str]:
    """Create leftovers of killed commands and of users; returns the files."""
    with zipfile.ZipFile(folder / "data/01_raw/faces.zip") as archive:
        picture = archive.read(name)
    packed = (folder / "data/03_packed/test.npz").read_bytes()
    archived = (folder / "data/01_raw/faces.zip").read_bytes()
    shares = io.BytesIO()
    np.savez_compressed(shares, x=pixels(picture)[None, ..., None] / np.float32(255))
    planted = {
        KILLED: packed,
        ".dvc/tmp/.unveil-erase.json-killed/erase.json": name.encode(),
        f"data/01_raw/{HALF}": archived[: len(archived) - 9],
        f".dvc/cache/files/md5/ab/{HALF}": archived,
        f"../disk/files/md5/ab/{HALF}": archived,
        ".dvc/cache/ab/cdef0123456789abcdef0123456789": picture,
        "../tmp/.unveil-object-killed/object": archived,
        "data/08_serving/feedback/pictures/aa.png": picture,
        "mlflow/state/artifacts/1/x/artifacts/shares.npz": shares.getvalue(),
        "data/05_reports/notes.json.gz": gzip.compress(json.dumps([name]).encode()),
        f"data/09_seeds/{KEY}/1/report/members.csv": f'"{name}",1\n'.encode(),
    }
    for place, content in planted.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)
    return list(planted)


def everywhere(folder: Path, client, face: np.ndarray, name: str) -> list[str]:
    copy = folder.parent / "bucket"
    for one in client.list_objects_v2(Bucket="faces").get("Contents", []):
        path = copy / one["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get_object(Bucket="faces", Key=one["Key"])["Body"].read())
    found = [
        f"{place}/{one}"
        for place in (folder.name, "disk", "bucket", "tmp")
        for one in files_containing(folder.parent / place, face, name)
    ]
    subprocess.run(["rm", "-rf", str(copy)], check=True)
    return found


@FAULT
def test_after_a_train_all_no_file_contains_the_face_or_its_name(whole, bucket):
    name, face = shown(whole)
    planted = plant(whole, name)
    before = everywhere(whole, bucket[1], face, name)
    assert {os.path.normpath(f"{whole.name}/{one}") for one in planted} - {
        os.path.normpath(f"{whole.name}/data/01_raw/{HALF}")
    } <= set(before)
    for kind in ("/explanations/", "files/md5", "disk/", "bucket/", "manifest."):
        assert [one for one in before if kind in one], kind
    said = call(whole, "unveil", "data", "erase", "--member", name)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "a final search found no copies" in said.stdout
    assert "NOT PROVED" not in said.stdout and "Traceback" not in said.stderr
    assert everywhere(whole, bucket[1], face, name) == []
    assert (whole / f"data/04_models/{KEY}/model.keras").exists()
    assert (whole / "data/07_bundle/model.onnx").exists()


@FAULT
def test_the_project_goes_on_without_it(whole):
    done(whole, "dvc", "repro", "--quiet", "pack")
    with zipfile.ZipFile(whole / "data/01_raw/faces.zip") as archive:
        assert len([one for one in archive.namelist() if one.endswith(".png")]) == 255
