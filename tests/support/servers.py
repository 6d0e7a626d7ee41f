"""Real servers for tests: on 127.0.0.1 and a free port, ready when yielded, stopped by pid."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import boto3
import psycopg
import pytest

BIN = Path(sys.executable).parent
STARTING = 180  # seconds; MLflow makes its tables in 10 on an idle machine
STOPPING = 20
S3_KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}
PASSWORD = "p%40ss"  # of every database, as a URL quotes it


class Url(str):
    """The URL of a server; ``process`` is the leader of its process group."""

    process: subprocess.Popen

    def kill(self) -> None:
        """Kill the server and its child processes, like a power failure."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    """Return whether ``url`` answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def serving(
    command: Sequence[str | Path],
    url: str,
    log: Path,
    *,
    ready: Callable[[], bool],
    env: Mapping[str, str] | None = None,
    **options,
) -> Iterator[Url]:
    """Run a server in the folder of its log; fails with the log if it does not become ready."""
    hidden = {"MLFLOW_TRACKING_URI", "PREFECT_API_URL"}
    around = {name: value for name, value in os.environ.items() if name not in hidden}
    log.parent.mkdir(parents=True, exist_ok=True)
    given = Url(url)
    with log.open("ab") as output:
        given.process = subprocess.Popen(
            [str(word) for word in command],
            cwd=options.pop("cwd", log.parent),
            env={**around, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **options,
        )
    try:
        _wait(given.process, ready, log)
        yield given
    finally:
        _stop(given.process)


def _wait(process: subprocess.Popen, ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + STARTING
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"{process.args[0]} did not get ready:\n{log.read_text()[-5000:]}")
        time.sleep(0.1)


def _stop(process: subprocess.Popen) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=STOPPING)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def mlflow_server(
    folder: Path,
    backend: str | None = None,
    artifacts: str | None = None,
    *,
    port: int | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Url]:
    """MLflow, by default on SQLite and files in ``folder``; it proxies the artifacts.

    Started again with the same folder and port it goes on where it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port or free_port()}"
    command = [BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", url.rsplit(":")[-1]]
    command += ["--workers", "1", "--serve-artifacts"]
    command += ["--backend-store-uri", backend or f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", artifacts or f"{folder}/artifacts"]
    lean = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(env or {})}
    log = folder / "mlflow-server.log"
    with serving(command, url, log, ready=lambda: answers(f"{url}/health"), env=lean) as given:
        yield given


@contextmanager
def prefect_server(
    home: Path, database: str | None = None, *, port: int | None = None
) -> Iterator[Url]:
    """Prefect with PREFECT_HOME at ``home``; yields the value for PREFECT_API_URL."""
    url = f"http://127.0.0.1:{port or free_port()}"
    command = [BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--no-ui"]
    command += ["--port", url.rsplit(":")[-1]]
    env = {"PREFECT_HOME": str(home)}
    if database:
        env["PREFECT_API_DATABASE_CONNECTION_URL"] = database
    log, api = home / "prefect-server.log", f"{url}/api"
    with serving(command, api, log, ready=lambda: answers(f"{api}/health"), env=env) as given:
        yield given


@contextmanager
def unveil_server(
    folder: Path, bundle: Path, *options: str | Path, port: int | None = None
) -> Iterator[Url]:
    """unveil serve with working and temporary folder ``folder``; log: ``unveil-server.log``."""
    url = f"http://127.0.0.1:{port or free_port()}"
    command = [BIN / "unveil", "serve", "--purpose", "see that the server works"]
    command += ["--bundle", bundle, "--port", url.rsplit(":")[-1], *options]
    temporary = folder / "temporary"
    temporary.mkdir(parents=True, exist_ok=True)
    ready = partial(answers, f"{url}/readyz")
    log, env = folder / "unveil-server.log", {"TMPDIR": str(temporary)}
    with serving(command, url, log, ready=ready, env=env) as given:
        yield given


@contextmanager
def s3_server(
    folder: Path, *, port: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Url]:
    """An S3 endpoint that accepts any keys and stores objects in memory."""
    url = f"http://127.0.0.1:{port or free_port()}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rsplit(":")[-1]]
    log = folder / "s3-server.log"
    ready = partial(answers, f"{url}/moto-api/")
    with serving(command, url, log, ready=ready, env=env) as given:
        yield given


@contextmanager
def guarded_s3_server(
    folder: Path, policies: Mapping[str, object]
) -> Iterator[tuple[Url, dict[str, dict[str, str]]]]:
    """An S3 endpoint with access control; yields the users' keys by the names of their policies.

    The bucket ``taken`` belongs to another account.
    """
    with s3_server(folder, env={"MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS": "false"}) as url:
        role = {"RoleArn": "arn:aws:iam::222222222222:role/other", "RoleSessionName": "other"}
        other = client("sts", url).assume_role(**role)["Credentials"]
        client("s3", url, _environment(other)).create_bucket(Bucket="taken")
        iam, keys = client("iam", url), {}
        for name, policy in policies.items():
            iam.create_user(UserName=name)
            document = json.dumps(policy)
            iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=document)
            keys[name] = _environment(iam.create_access_key(UserName=name)["AccessKey"])
        plain = {"Content-Type": "text/plain"}
        guard = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain)
        urllib.request.urlopen(guard).close()
        yield url, keys


def _environment(made: Mapping[str, str]) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": made["AccessKeyId"]}
    keys["AWS_SECRET_ACCESS_KEY"] = made["SecretAccessKey"]
    token = {"AWS_SESSION_TOKEN": made["SessionToken"]} if "SessionToken" in made else {}
    return {**S3_KEYS, **keys, **token}


def s3(endpoint: str):
    """A client of an S3 server."""
    return client("s3", endpoint)


def client(service: str, endpoint: str, keys: Mapping[str, str] = S3_KEYS):
    """A client of a service of an S3 server, with a user's keys."""
    return boto3.client(
        service,
        endpoint_url=endpoint,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=keys.get("AWS_SESSION_TOKEN"),
        region_name=keys["AWS_DEFAULT_REGION"],
    )


@contextmanager
def postgres(folder: Path) -> Iterator[Url]:
    """PostgreSQL; yields the URL of its first database, ``postgresql://...``. Log in ``folder``."""
    programs = _postgres_programs()
    with ExitStack() as stack:
        # PostgreSQL refuses to run as root, and other users cannot enter pytest's folders.
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="postgres-")))
        (place / "password").write_text(urllib.parse.unquote(PASSWORD))
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if _root() else {}
        if user:
            for path in (place, place / "password"):
                shutil.chown(path, "nobody", "nogroup")
        data = ["-D", place / "data"]
        secret = ["--auth=scram-sha-256", f"--pwfile={place / 'password'}", "--username=unveil"]
        subprocess.run(
            [programs / "initdb", *data, *secret, "--no-sync", "--encoding=UTF8", "--locale=C"],
            check=True,
            capture_output=True,
            cwd=place,
            **user,
        )
        port = free_port()
        url = f"postgresql://unveil:{PASSWORD}@127.0.0.1:{port}/postgres"
        command = [programs / "postgres", *data, "-h", "127.0.0.1", "-p", str(port), "-k", place]
        command += ["-c", "fsync=off"]
        log = folder / "postgres.log"
        given = serving(command, url, log, ready=lambda: _connects(url), cwd=place, **user)
        yield stack.enter_context(given)


def database(url: str, name: str) -> str:
    """Create a database on the server of ``url``; returns its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{url.rsplit('/', 1)[0]}/{name}"


def _connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _postgres_programs() -> Path:
    found = shutil.which("initdb")
    installed = [Path(found).resolve()] if found else []
    # Debian installs the server's programs outside of PATH, in a folder per version.
    installed += sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not installed:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    return installed[0].parent


def _root() -> bool:
    return os.getuid() == 0
