"""Dataset versions on a real S3 server, with the commands of own-faces.md, real git and DVC."""

import itertools
import subprocess
from pathlib import Path

import pytest
from tests.support import buckets, servers

FACES = Path("data/01_raw/faces")
MANY = 120


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with servers.guarded_s3_server(folder, buckets.POLICIES) as given:
        yield given


class Clone:
    """A clone that uses one user's keys."""

    def __init__(self, folder: Path, keys: dict[str, str]) -> None:
        self.folder = folder
        path = {"PATH": f"{servers.BIN}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder.parent)}
        author = {
            f"GIT_{role}_{what}": "t@example.org"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        quiet = {"DVC_NO_ANALYTICS": "1", **buckets.ENVIRONMENT}
        self.environment = {**path, **author, **quiet, **keys}

    def call(self, *command: str) -> subprocess.CompletedProcess:
        return self.start(*command, wait=True)

    def start(self, *command: str, wait: bool = False):
        run = subprocess.run if wait else subprocess.Popen
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        pipes |= {"timeout": 300} if wait else {}
        return run(command, cwd=self.folder, env=self.environment, **pipes)

    def done(self, *command: str) -> str:
        result = self.call(*command)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def version(self, number: int, count: int) -> None:
        """Commit a dataset with this number of files."""
        folder = self.folder / FACES
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            (folder / f"{index:03}").write_text(f"face {index} of version {number}")
        self.done("dvc", "add", "--quiet", str(FACES))
        self.done("git", "add", "--all")
        self.done("git", "commit", "--quiet", "-m", f"version {number}")
        self.done("git", "tag", f"v{number}")

    def faces(self) -> list[str]:
        return [path.read_text() for path in sorted((self.folder / FACES).iterdir())]

    def cloned(self, name: str, keys: dict[str, str]) -> "Clone":
        folder = self.folder.parent / name
        self.done("git", "clone", "--quiet", str(self.folder), str(folder))
        return Clone(folder, keys)


def written(number: int, count: int) -> list[str]:
    return [f"face {index} of version {number}" for index in range(count)]


@pytest.fixture
def project(guarded, tmp_path) -> Clone:
    """The owner's clone, whose versions are on the S3 server."""
    (tmp_path / "project").mkdir()
    clone = Clone(tmp_path / "project", guarded[1]["owner"])
    clone.done("git", "init", "--quiet")
    clone.done("dvc", "init", "--quiet")
    create(clone, guarded[0])
    return clone


def create(clone: Clone, endpoint: str) -> None:
    url = f"s3://faces/unveil/{clone.folder.parent.name}"
    clone.done("unveil", "remote", "create", url, "--endpoint", endpoint)


def owner(guarded):
    """The owner's client of the S3 server."""
    endpoint, keys = guarded
    return servers.client("s3", endpoint, keys["owner"])


def stored(guarded, clone: Clone) -> list[str]:
    """The keys of the objects of a clone's remote."""
    below = f"unveil/{clone.folder.parent.name}/"
    found = owner(guarded).list_objects_v2(Bucket="faces", Prefix=below)
    return [item["Key"] for item in found.get("Contents", [])]


def test_a_reader_can_restore_each_version_in_another_clone(guarded, project):
    project.version(1, 5)
    project.version(2, 7)
    pushed = Clone(project.folder, guarded[1]["worker"])
    pushed.done("dvc", "push", "--quiet", "--all-commits")
    reader = project.cloned("reader", guarded[1]["reader"])
    reader.done("dvc", "pull", "--quiet")
    assert reader.faces() == written(2, 7)
    reader.done("git", "checkout", "--quiet", "v1")
    reader.done("dvc", "pull", "--quiet")
    assert reader.faces() == written(1, 5)
    reader.done("git", "checkout", "--quiet", "v2")
    reader.done("dvc", "checkout", "--quiet")
    assert reader.faces() == written(2, 7)
    secrets = [keys["AWS_SECRET_ACCESS_KEY"] for keys in guarded[1].values()]
    for clone in (project, reader):
        texts = [path.read_bytes() for path in clone.folder.rglob("*") if path.is_file()]
        assert not [secret for secret in secrets if any(secret.encode() in text for text in texts)]


def interrupted(clone: Clone, endpoint: str, verb: str, method: str) -> None:
    """Kill a transfer after half of its objects have been requested."""
    requests, started = itertools.count(1), []

    def answer(called: str, query: str) -> None:
        if called == method and not query and next(requests) == MANY // 2:
            started[0].kill()

    with buckets.in_front_of(endpoint, answer) as passing:
        clone.done("dvc", "remote", "modify", "--local", "store", "endpointurl", passing)
        started.append(clone.start("dvc", verb, "--jobs", "2"))
        _, output = started[0].communicate(timeout=300)
    assert started[0].returncode == -9, output
    clone.done("dvc", "remote", "modify", "--local", "--unset", "store", "endpointurl")


@pytest.mark.fault("transfer of a dataset killed")
def test_a_killed_transfer_resumes_completely(guarded, project):
    endpoint, keys = guarded
    project.version(1, MANY)
    interrupted(project, endpoint, "push", "PUT")
    half = set(stored(guarded, project))
    assert 0 < len(half) < MANY
    output = project.done("dvc", "push")
    assert f"{MANY + 1 - len(half)} files pushed" in output
    assert len(stored(guarded, project)) == MANY + 1

    reader = project.cloned("reader", keys["reader"])
    interrupted(reader, endpoint, "pull", "GET")
    assert len(cached(reader)) < MANY
    reader.done("dvc", "pull", "--quiet")
    assert reader.faces() == written(1, MANY)
    assert len(cached(reader)) == MANY + 1


def cached(clone: Clone) -> list[Path]:
    objects = (clone.folder / ".dvc/cache/files/md5").glob("??/*")
    return [path for path in objects if len(path.name.removesuffix(".dir")) == 30]


@pytest.mark.fault("object damaged on the remote, plain dvc pull")
def test_a_damaged_object_is_named_and_the_repaired_one_accepted(guarded, project):
    project.version(1, 5)
    project.done("dvc", "push", "--quiet")
    key = next(key for key in stored(guarded, project) if not key.endswith(".dir"))
    client = owner(guarded)
    whole = client.get_object(Bucket="faces", Key=key)["Body"].read()
    client.put_object(Bucket="faces", Key=key, Body=bytes([whole[0] ^ 1]) + whole[1:])
    reader = project.cloned("reader", guarded[1]["reader"])
    result = reader.call("dvc", "pull")
    assert result.returncode != 0
    digest = "".join(key.split("/")[-2:])
    assert digest in result.stderr or str(FACES) in result.stderr
    assert not (reader.folder / FACES).exists() or len(reader.faces()) < 5
    client.put_object(Bucket="faces", Key=key, Body=whole)
    reader.done("dvc", "pull", "--quiet")
    assert reader.faces() == written(1, 5)


@pytest.mark.fault("push with wrong keys, to no bucket, or where one may only read", 3)
def test_what_cannot_be_pushed_ends_with_an_error_and_no_secret(guarded, project):
    keys = guarded[1]
    project.version(1, 2)
    fails(Clone(project.folder, keys["reader"]))
    fails(Clone(project.folder, {**keys["owner"], "AWS_SECRET_ACCESS_KEY": "not-the-secret"}))
    project.done("dvc", "remote", "modify", "--local", "store", "url", "s3://absent/unveil")
    fails(project)
    assert stored(guarded, project) == []


def fails(clone: Clone) -> None:
    result = clone.call("dvc", "push")
    assert result.returncode != 0
    assert "ERROR" in result.stderr
    for text in (result.stdout, result.stderr):
        assert clone.environment["AWS_SECRET_ACCESS_KEY"] not in text
        assert "Traceback" not in text
