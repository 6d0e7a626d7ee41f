"""Two clones that share git, an S3 server and a Prefect server exchange data, with real DVC."""

import contextlib
import fcntl
import json
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from dvc.repo import Repo
from flows import artifacts, dispatch
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Crashed
from tests.support import servers

from unveil.common.errors import UserError

# Prefect's client does not close its sockets explicitly.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

PIPELINE = """
stages:
  pack:
    cmd: cp -r data/01_raw data/03_packed
    deps:
      - data/01_raw
    outs:
      - data/03_packed/train.npz
  train:
    foreach: ${architectures}
    do:
      cmd:
        - mkdir -p data/04_models/${key}
        - date +%N >> trained
        - cp trained data/04_models/${key}/model.keras
      deps:
        - data/03_packed/train.npz
      params:
        - architectures.${key}
      outs:
        - data/04_models/${key}/model.keras
  evaluate:
    foreach: ${architectures}
    do:
      cmd: cp -r data/04_models/${key} data/05_${key}
      deps:
        - data/04_models/${key}
      outs:
        - data/05_${key}
"""
KEY = "cnn3_gray"
MODEL = Path("data/04_models") / KEY / "model.keras"
PACKED = Path("data/03_packed/train.npz")
STAGES = [f"train@{KEY}", f"evaluate@{KEY}"]


def run(*command: str) -> str:
    environment = {"PATH": f"{servers.BIN}:/usr/local/bin:/usr/bin:/bin", **servers.S3_KEYS}
    author = {
        f"GIT_{role}_{what}": "t@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**environment, **author, "DVC_NO_ANALYTICS": "1"},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    with servers.s3_server(tmp_path_factory.mktemp("s3")) as url:
        servers.s3(url).create_bucket(Bucket="faces")
        yield url


@pytest.fixture(scope="module")
def prefect(tmp_path_factory):
    with (
        servers.prefect_server(tmp_path_factory.mktemp("prefect")) as url,
        temporary_settings({PREFECT_API_URL: url}),
    ):
        yield url


@pytest.fixture
def origin(tmp_path, monkeypatch) -> Path:
    """The origin of both clones: code, a pipeline of shell commands, raw data in git."""
    for name, value in servers.S3_KEYS.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "origin"
    for name, text in {
        "dvc.yaml": PIPELINE,
        "params.yaml": "architectures: {cnn3_gray: {dropout: 0.3}}\n",
        "uv.lock": "locked\n",
        "pyproject.toml": "",
        "src/code.py": "one = 1\n",
        "flows/flow.py": "",
        "data/01_raw/train.npz": "faces",
        ".gitignore": "/data/0[345]*\n/trained\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    run("git", "init", "--quiet")
    run("dvc", "init", "--quiet")
    commit("start")
    return folder


@pytest.fixture
def controller(origin, tmp_path, monkeypatch) -> Path:
    """A clone whose faces are packed; the current directory."""
    run("git", "clone", "--quiet", str(origin), str(tmp_path / "controller"))
    monkeypatch.chdir(tmp_path / "controller")
    run("dvc", "repro", "--quiet", "pack")
    return tmp_path / "controller"


@pytest.fixture
def worker(origin, tmp_path) -> Path:
    run("git", "clone", "--quiet", str(origin), str(tmp_path / "worker"))
    return tmp_path / "worker"


@pytest.fixture
def bucket(endpoint, controller, worker, monkeypatch):
    """A new prefix on the S3 server, the default DVC remote of both clones."""
    prefix = controller.parent.name
    for clone in (worker, controller):
        monkeypatch.chdir(clone)
        run("dvc", "remote", "add", "--quiet", "--local", "-d", "store", f"s3://faces/{prefix}")
        run("dvc", "remote", "modify", "--local", "store", "endpointurl", endpoint)
    return Bucket(servers.s3(endpoint), prefix)


class Bucket:
    def __init__(self, client, prefix):
        self.client, self.prefix = client, prefix

    def key(self, md5: str) -> str:
        return f"{self.prefix}/files/md5/{md5[:2]}/{md5[2:]}"

    def damage(self, md5: str) -> bytes:
        place = {"Bucket": "faces", "Key": self.key(md5)}
        whole = self.client.get_object(**place)["Body"].read()
        self.client.put_object(**place, Body=bytes([whole[0] ^ 1]) + whole[1:])
        return whole


def commit(message: str) -> None:
    run("git", "add", "--all")
    run("git", "commit", "--quiet", "-m", message)


def md5(path: Path) -> str:
    return artifacts.dvc_hash(path)


@contextlib.contextmanager
def refused(words: str):
    with pytest.raises(UserError, match=words) as caught:
        yield
    assert "\n" not in str(caught.value)


@flow
def push_results() -> None:
    artifacts.push_results(KEY)


def train(*options: str) -> None:
    run("dvc", "repro", "--quiet", "--single-item", *options, STAGES[0])
    run("dvc", "repro", "--quiet", "--single-item", *options, STAGES[1])


def test_results_of_a_worker_are_pulled_and_not_trained_again(
    bucket, controller, worker, prefect, monkeypatch
):
    edited = "architectures: {cnn3_gray: {dropout: 0.1}}\n"
    (controller / "params.yaml").write_text(edited)
    order = json.loads(json.dumps(artifacts.order([KEY])))

    for options in ([], ["--force"]):
        monkeypatch.chdir(worker)
        artifacts.apply_order(order)
        assert PACKED.read_text() == "faces"
        assert Path("params.yaml").read_text() == edited
        train(*options)
        push_results()

        monkeypatch.chdir(controller)
        artifacts.pull_results(KEY)
        assert MODEL.read_text() == (worker / MODEL).read_text()
        assert not Path("trained").exists()
        assert "up to date" in run("dvc", "status", *STAGES)


@pytest.mark.fault("object damaged on the remote")
def test_a_damaged_object_is_refused_until_it_is_repaired(bucket, worker, monkeypatch):
    order, digest = artifacts.order([KEY]), md5(PACKED)
    whole = bucket.damage(digest)
    monkeypatch.chdir(worker)
    with refused("DVC remote store: .*data/03_packed/train.npz"):
        artifacts.apply_order(order)
    assert not PACKED.exists()
    bucket.client.put_object(Bucket="faces", Key=bucket.key(digest), Body=whole)
    artifacts.apply_order(order)
    assert PACKED.read_text() == "faces"


@pytest.mark.fault("object missing on the remote")
def test_a_missing_object_is_named(bucket, worker, monkeypatch):
    order = artifacts.order([KEY])
    bucket.client.delete_object(Bucket="faces", Key=bucket.key(md5(PACKED)))
    monkeypatch.chdir(worker)
    with refused("DVC remote store: .*data/03_packed/train.npz"):
        artifacts.apply_order(order)


@pytest.fixture
def handed_over(bucket, worker, prefect, controller, monkeypatch) -> str:
    """Train in the worker and return to the controller; gives the hash of the worker's model."""
    order = artifacts.order([KEY])
    monkeypatch.chdir(worker)
    artifacts.apply_order(order)
    train()
    push_results()
    monkeypatch.chdir(controller)
    return md5(worker / MODEL)


def test_models_are_pulled_completely_or_not_at_all(bucket, handed_over):
    bucket.damage(handed_over)
    with refused("DVC remote store: "):
        artifacts.pull_results(KEY)
    assert not MODEL.exists()


@contextlib.contextmanager
def fresh(worker: Path):
    """Change to a new worker clone without any trained model."""
    run("git", "clone", "--quiet", "../origin", str(worker))
    shutil.copy(".dvc/config.local", worker / ".dvc")
    with contextlib.chdir(worker):
        yield


def begun_with(worker: Path, order: dict) -> None:
    """Apply an order in a new worker clone, as train-architecture does."""
    with fresh(worker):
        artifacts.apply_order(order)
        artifacts.fetch_model(order, KEY)
        train()


def test_an_up_to_date_model_is_not_trained_again_elsewhere(handed_over, tmp_path):
    artifacts.pull_results(KEY)
    begun_with(tmp_path / "second", artifacts.order([KEY]))
    assert md5(tmp_path / "second" / MODEL) == handed_over
    assert not (tmp_path / "second/trained").exists()


def test_a_model_that_is_outdated_is_trained_again(handed_over, tmp_path):
    artifacts.pull_results(KEY)
    Path("params.yaml").write_text("architectures: {cnn3_gray: {dropout: 0.9}}\n")
    begun_with(tmp_path / "second", artifacts.order([KEY]))
    assert md5(tmp_path / "second" / MODEL) != handed_over


def test_a_model_that_is_damaged_on_the_remote_is_retrained(bucket, handed_over, tmp_path, capfd):
    artifacts.pull_results(KEY)
    bucket.damage(handed_over)
    begun_with(tmp_path / "second", artifacts.order([KEY]))
    assert md5(tmp_path / "second" / MODEL) != handed_over
    assert f"{KEY} is retrained: DVC remote store: " in capfd.readouterr().out


@pytest.mark.parametrize("fault", ["other parameters", "damaged"])
def test_a_model_that_is_not_pulled_leaves_no_trace(bucket, handed_over, tmp_path, fault, capfd):
    artifacts.pull_results(KEY)
    if fault == "damaged":
        bucket.damage(handed_over)
    else:
        Path("params.yaml").write_text("architectures: {cnn3_gray: {dropout: 0.9}}\n")
    order = artifacts.order([KEY])
    with fresh(tmp_path / "second"):
        artifacts.apply_order(order)
        before = Path("dvc.lock").read_bytes()
        artifacts.fetch_model(order, KEY)
        assert Path("dvc.lock").read_bytes() == before
        assert not MODEL.exists()
    assert f"{KEY} is retrained: " in capfd.readouterr().out


def test_a_model_of_other_parameters_is_refused(handed_over):
    Path("params.yaml").write_text("architectures: {cnn3_gray: {dropout: 0.9}}\n")
    with refused("cnn3_gray was produced from other inputs: .*architectures.cnn3_gray"):
        artifacts.pull_results(KEY)
    assert not MODEL.exists()
    assert "train@cnn3_gray" not in Path("dvc.lock").read_text()


def test_a_stale_model_is_not_compared_in_place_of_a_refused_one(handed_over):
    Path("params.yaml").write_text("architectures: {cnn3_gray: {dropout: 0.9}}\n")
    for state in (Completed(), Crashed()):
        train("--force")
        before = MODEL.read_text()
        with refused("cnn3_gray was produced from other inputs"):
            artifacts.pull_results(KEY)
        assert MODEL.read_text() == before
        assert not dispatch.collected("cnn3_gray", state).is_completed()
        assert not MODEL.exists()
        run("dvc", "checkout", "--quiet", STAGES[0])
        assert MODEL.read_text() == before


def test_reading_waits_for_a_lock_file_that_dvc_writes(controller):
    whole, ordered = artifacts.order([KEY]), []
    content = Path("dvc.lock").read_text()
    asking = threading.Thread(target=lambda: ordered.append(artifacts.order([KEY])))
    with Repo() as repo, repo.lock:
        Path("dvc.lock").write_text("")
        asking.start()
        asking.join(timeout=2)
        Path("dvc.lock").write_text(content)
    asking.join(timeout=60)
    assert ordered == [whole]


@pytest.mark.fault("remote refuses, or never answers")
def test_a_remote_that_refuses_or_times_out_is_one_line(bucket, worker, monkeypatch):
    order = artifacts.order([KEY])
    monkeypatch.chdir(worker)
    closed = f"http://127.0.0.1:{servers.free_port()}"
    run("dvc", "remote", "modify", "--local", "store", "endpointurl", closed)
    with refused("DVC remote store: Could not connect to the endpoint URL"):
        artifacts.apply_order(order)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        silent = f"http://127.0.0.1:{mute.getsockname()[1]}"
        run("dvc", "remote", "modify", "--local", "store", "endpointurl", silent)
        run("dvc", "remote", "modify", "--local", "store", "read_timeout", "1")
        with refused("DVC remote store: Read timeout on endpoint URL"):
            artifacts.apply_order(order)


def test_without_a_remote_another_checkout_is_refused(controller, worker, monkeypatch):
    order = artifacts.order([KEY])
    monkeypatch.chdir(worker)
    with refused("no DVC remote is set"):
        artifacts.apply_order(order)


def test_a_worker_checks_out_a_pushed_commit_and_keeps_files_of_flows(
    bucket, origin, controller, worker, monkeypatch
):
    Path("src/code.py").write_text("one = 2\n")
    commit("another")
    run("git", "remote", "set-url", "origin", str(origin))
    order = artifacts.order([KEY])
    monkeypatch.chdir(worker)
    Path("params.yaml").write_text("# of the last order\n")
    with refused(f"commit {order['commit'][:12]} of the order is on no remote here"):
        artifacts.apply_order(order)
    assert Path("params.yaml").read_text() == "# of the last order\n"
    monkeypatch.chdir(controller)
    run("git", "push", "--quiet", "origin", "HEAD:refs/heads/another")
    monkeypatch.chdir(worker)
    artifacts.apply_order(order)
    assert Path("src/code.py").read_text() == "one = 2\n"
    assert PACKED.read_text() == "faces"


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ("controller", "the order has uncommitted code: src/code.py, src/new.py; commit and"),
        ("worker", "this checkout has changed code: src/code.py, src/new.py; undo that"),
    ],
)
def test_uncommitted_code_is_refused_by_name(side, words, controller, worker, monkeypatch):
    (controller.parent / side / "src/code.py").write_text("one = 3\n")
    (controller.parent / side / "src/new.py").write_text("")
    order = artifacts.order([KEY])
    monkeypatch.chdir(worker)
    with refused(words):
        artifacts.apply_order(order)
    if side == "controller":
        monkeypatch.chdir(controller)
        artifacts.apply_order(order)


def test_another_environment_is_refused(controller, worker, origin, monkeypatch):
    Path("uv.lock").write_text("other\n")
    commit("other")
    run("git", "push", "--quiet", "origin", "HEAD:refs/heads/other")
    order = artifacts.order([KEY])
    monkeypatch.chdir(worker)
    with refused("needs another environment: git checkout [0-9a-f]{12} && make install"):
        artifacts.apply_order(order)


def test_a_checkout_cannot_change_orders_while_it_trains(controller, prefect):
    order = artifacts.order([KEY])
    train()
    before = Path("dvc.lock").read_text()
    with training_beside(controller):
        artifacts.apply_order(order)
        push_results()
        artifacts.pull_results(KEY)
        assert Path("dvc.lock").read_text() == before
        with refused("this checkout is training for another order"):
            artifacts.apply_order({**order, "params": "# other\n"})


@contextlib.contextmanager
def training_beside(checkout: Path):
    """Another process that has applied an order in this checkout."""
    with (checkout / ".dvc/tmp/exchange.lock").open("w") as beside:
        fcntl.flock(beside, fcntl.LOCK_SH)
        yield


def test_several_may_push_at_once(bucket, controller, worker, monkeypatch):
    order = artifacts.order([KEY])
    second = worker.parent / "second"
    shutil.copytree(worker, second)
    for clone in (worker, second):
        monkeypatch.chdir(clone)
        artifacts.apply_order(order)
        train()
    push = [servers.BIN / "dvc", "push", "--quiet", "--run-cache", *STAGES]
    pushing = [subprocess.Popen(push, cwd=clone) for clone in (worker, second)]
    assert [process.wait(timeout=120) for process in pushing] == [0, 0]
    for clone in (worker, second):
        kept = bucket.client.get_object(Bucket="faces", Key=bucket.key(md5(clone / MODEL)))
        assert kept["Body"].read() == (clone / MODEL).read_bytes()
