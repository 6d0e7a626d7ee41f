"""The servers that other tests start do what their names say."""

import subprocess

import psycopg
import pytest
from tests.support import servers


def test_postgres_gives_fresh_databases_behind_a_password(tmp_path):
    with servers.postgres(tmp_path) as url:
        own = servers.database(url, "own")
        with psycopg.connect(own) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("own",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(own.replace(servers.PASSWORD, "wrong"))
    assert url.process.poll() is not None


def test_s3_keeps_objects_until_it_is_killed(tmp_path):
    with servers.s3_server(tmp_path) as endpoint:
        client = servers.s3(endpoint)
        client.create_bucket(Bucket="faces")
        client.put_object(Bucket="faces", Key="k", Body=b"one")
        assert client.get_object(Bucket="faces", Key="k")["Body"].read() == b"one"
        endpoint.kill()
        assert not servers.answers(f"{endpoint}/moto-api/")


def test_a_server_that_cannot_start_shows_what_it_said(tmp_path):
    command = ["sh", "-c", "echo port in use; exit 3"]
    with (
        pytest.raises(pytest.fail.Exception, match="port in use"),
        servers.serving(command, "", tmp_path / "log", ready=lambda: False),
    ):
        pass


def test_a_stopped_server_leaves_no_process_behind(tmp_path):
    alive = ["pgrep", "--runstates", "R,S,D", "-g"]
    command = ["sh", "-c", "sleep 60 & sleep 60"]
    with servers.serving(command, "", tmp_path / "log", ready=lambda: True) as given:
        group = str(given.process.pid)
        assert subprocess.run([*alive, group], capture_output=True).stdout
    assert not subprocess.run([*alive, group], capture_output=True).stdout
