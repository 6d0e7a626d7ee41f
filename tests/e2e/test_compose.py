"""The servers of mlflow/compose.yaml with its own commands and settings, but without Docker."""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import unquote

import mlflow
import psycopg
import pytest
import yaml
from mlflow import MlflowClient
from tests.support import servers

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "mlflow"
SERVICES = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
SECRETS = {
    "POSTGRES_PASSWORD": unquote(servers.PASSWORD),
    "S3_ACCESS_KEY": servers.S3_KEYS["AWS_ACCESS_KEY_ID"],
    "S3_SECRET_KEY": servers.S3_KEYS["AWS_SECRET_ACCESS_KEY"],
    "MLFLOW_ADMIN_PASSWORD": "a long password",
    "MLFLOW_SECRET_KEY": "for sessions",
    "PREFECT_ADMIN_PASSWORD": "another",
}


class Setup:
    """An emulation of Compose's network: service names and ports are mapped to loopback."""

    def __init__(self, database: str, storage: str) -> None:
        self.database, self.storage = database, storage
        self.ports = {name: str(servers.free_port()) for name in ("5000", "4200")}

    def here(self, text: str) -> str:
        for port, free in self.ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text.replace("0.0.0.0", "127.0.0.1").replace("http://storage:7070", self.storage)

    def environment(self, service: str) -> dict[str, str]:
        given = {**SECRETS, "MLFLOW_HOSTS": "127.0.0.1:5000"}
        found = SERVICES[service]["environment"]
        found = {name: self.here(filled(value, given)) for name, value in found.items()}
        port = self.database.rsplit(":", 1)[1].split("/")[0]
        return {**os.environ, **found, "PGHOST": "127.0.0.1", "PGPORT": port}

    def command(self, service: str) -> list[str]:
        given = SERVICES[service]["command"]
        words = shlex.split(given) if isinstance(given, str) else given
        program, *rest = map(self.here, words)
        return [str(servers.BIN / program), *rest]

    def health(self, service: str) -> int:
        _, program, *rest = SERVICES[service]["healthcheck"]["test"]
        command = [str(servers.BIN / program), *map(self.here, rest)]
        return subprocess.run(command, capture_output=True).returncode

    def serve(self, service: str, url: str, folder: Path):
        return servers.serving(
            self.command(service),
            self.here(url),
            folder / f"{service}.log",
            ready=lambda: servers.answers(self.here(f"{url}/health")),
            env=self.environment(service),
        )


def filled(text: str, given: dict[str, str]) -> str:
    def value(match: re.Match) -> str:
        name, kind, rest = match.groups()
        return given.get(name, rest) if kind == "-" else given[name]

    return VARIABLE.sub(value, str(text))


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    shutil.copy(FOLDER / "basic_auth.ini", folder)
    with servers.postgres(folder) as database, servers.s3_server(folder) as storage:
        with psycopg.connect(database, autocommit=True) as connection:
            for statement in (FOLDER / "databases.sql").read_text().split(";")[:-1]:
                connection.execute(statement)
        made = Setup(database, storage)
        for _ in range(2):
            subprocess.run(made.command("buckets"), env=made.environment("buckets"), check=True)
        with ExitStack() as stack:
            stack.enter_context(made.serve("mlflow", "http://127.0.0.1:5000", folder))
            stack.enter_context(made.serve("prefect", "http://127.0.0.1:4200/api", folder))
            yield made


@pytest.fixture
def tracking(setup, monkeypatch) -> str:
    """MLflow's address; the administrator's password is in the environment."""
    url = setup.here("http://127.0.0.1:5000")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRETS["MLFLOW_ADMIN_PASSWORD"])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(url)
    yield url
    mlflow.set_tracking_uri(before)


def status(url: str, method: str = "GET", content: dict | None = None, **headers: str) -> int:
    data = json.dumps(content).encode() if content else None
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, method=method, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_run_and_its_artifact_go_through_mlflow_into_database_and_bucket(setup, tracking):
    mlflow.set_experiment("compose")
    with mlflow.start_run() as run:
        mlflow.log_metric("macro_f1", 0.5)
        mlflow.log_text("faces", "note.txt")
    artifact = f"{run.info.run_id}/artifacts/note.txt"
    listed = servers.s3(setup.storage).list_objects_v2(Bucket="mlflow")["Contents"]
    assert [item["Key"] for item in listed if item["Key"].endswith(artifact)]
    assert MlflowClient().download_artifacts(run.info.run_id, "note.txt")
    with psycopg.connect(f"{setup.database.rsplit('/', 1)[0]}/mlflow") as connection:
        assert connection.execute("SELECT value FROM metrics").fetchall() == [(0.5,)]


@pytest.mark.parametrize("password", ["wrong", ""])
def test_mlflow_refuses_a_wrong_password(tracking, password):
    search = f"{tracking}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    right = basic("admin", SECRETS["MLFLOW_ADMIN_PASSWORD"])
    assert status(search, Authorization=right) == 200
    assert status(search, Authorization=basic("admin", password)) == 401
    assert status(search) == 401


def test_mlflow_refuses_a_forged_host(tracking):
    search = f"{tracking}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    right = basic("admin", SECRETS["MLFLOW_ADMIN_PASSWORD"])
    assert status(search, Authorization=right, Host="faces.example.org") == 403


def test_a_changed_password_takes_effect_at_once(tracking):
    url = f"{tracking}/api/2.0/mlflow/users/"
    admin = basic("admin", SECRETS["MLFLOW_ADMIN_PASSWORD"])
    worker = {"username": "worker", "password": "first password"}
    assert status(f"{url}create", "POST", worker, Authorization=admin) == 200
    worker["password"] = "second password"
    assert status(f"{url}update-password", "PATCH", worker, Authorization=admin) == 200
    search = f"{tracking}/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    assert status(search, Authorization=basic("worker", "first password")) == 401
    assert status(search, Authorization=basic("worker", "second password")) == 200


def test_prefect_runs_a_flow_on_postgresql_behind_a_password(setup, tmp_path):
    url = setup.here("http://127.0.0.1:4200/api")
    script = "from prefect import flow\n\n\n@flow\ndef trivial(): print('ran')\n\n\ntrivial()"
    env = {**os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(tmp_path)}
    for password, code in (("wrong", 1), (SECRETS["PREFECT_ADMIN_PASSWORD"], 0)):
        env["PREFECT_API_AUTH_STRING"] = f"admin:{password}"
        result = subprocess.run(
            [servers.BIN / "python", "-c", script], env=env, capture_output=True, text=True
        )
        assert result.returncode == code, result.stderr
    with psycopg.connect(f"{setup.database.rsplit('/', 1)[0]}/prefect") as connection:
        assert connection.execute("SELECT state_type FROM flow_run").fetchall() == [("COMPLETED",)]


def test_health_checks_tell_a_server_from_none(setup):
    assert [setup.health(service) for service in ("mlflow", "prefect")] == [0, 0]
    nowhere = Setup(setup.database, setup.storage)
    assert nowhere.health("mlflow") != 0


def test_runs_are_restored_from_a_dump(setup, tracking, tmp_path):
    mlflow.set_experiment("kept")
    server = setup.database.rsplit("/", 1)[0]
    dump = tmp_path / "mlflow.dump"
    with dump.open("wb") as file:
        subprocess.run(["pg_dump", "--format=custom", f"{server}/mlflow"], stdout=file, check=True)
    restored = servers.database(setup.database, "restored")
    with dump.open("rb") as file:
        command = ["pg_restore", "--clean", "--if-exists", "--dbname", restored]
        subprocess.run(command, stdin=file, check=True)
    with psycopg.connect(restored) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM experiments")}
        users = {name for (name,) in connection.execute("SELECT username FROM users")}
    assert "kept" in names
    assert "admin" in users


def test_an_upgrade_of_the_database_may_be_repeated(setup):
    upgrade = [servers.BIN / "mlflow", "db", "upgrade", "postgresql+psycopg:///mlflow"]
    result = subprocess.run(
        upgrade, env=setup.environment("mlflow"), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_buckets_are_copied_out_and_in(setup, tmp_path):
    client = servers.s3(setup.storage)
    kept = {"mlflow": "1/run/artifacts/model.keras", "dvc": "unveil/files/md5/ab/cdef"}
    for bucket, key in kept.items():
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    commands = re.findall(r'python -c "(import s3fs.*)"', (ROOT / "docs/operations.md").read_text())
    out, back = commands
    env = {**setup.environment("buckets"), "AWS_ENDPOINT_URL_S3": setup.storage}
    copy = {"cwd": tmp_path, "env": env, "check": True}
    subprocess.run([servers.BIN / "python", "-c", out], **copy)
    for bucket, key in kept.items():
        assert (tmp_path / "backup" / bucket / key).read_text() == key
        client.delete_object(Bucket=bucket, Key=key)
    subprocess.run([servers.BIN / "python", "-c", back], **copy)
    for bucket, key in kept.items():
        assert client.get_object(Bucket=bucket, Key=key)["Body"].read().decode() == key


def test_every_variable_is_in_the_example_and_no_secret_is():
    used = {match[0] for match in VARIABLE.findall((FOLDER / "compose.yaml").read_text())}
    lines = (FOLDER / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
    assert used == set(example)
    assert {name for name, value in example.items() if not value} == set(SECRETS)
    ignored = subprocess.run(["git", "check-ignore", "mlflow/.env"], cwd=ROOT, capture_output=True)
    assert ignored.returncode == 0


def test_images_are_pinned_and_every_server_has_a_health_check():
    for name, service in SERVICES.items():
        if "build" not in service:
            assert re.search(r":v?\d+\.\d+", service["image"]), name
        assert name == "buckets" or "healthcheck" in service, name
    locked = (ROOT / "uv.lock").read_text()
    base = re.search(r"^FROM (\S+)", (FOLDER / "Dockerfile").read_text(), re.M).group(1)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base)
    assert 'name = "mlflow"\nversion = "3.17.2"' in locked
