"""The default remote in `.dvc/config`, which never has credentials."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support import buckets, servers

from unveil import storage
from unveil.common.errors import UserError
from unveil.storage import dvc_remote

CONFIG, LOCAL = Path(".dvc/config"), Path(".dvc/config.local")
PLACE = storage.parse_location("s3://faces/unveil", endpoint="http://127.0.0.1:1")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A DVC project, isolated from the user's configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(tmp_path / "system"))
    buckets.forget_credentials(monkeypatch)
    CONFIG.parent.mkdir()
    CONFIG.write_text("[core]\n    analytics = false\n")
    return tmp_path


def test_the_default_remote_is_written_and_other_settings_kept():
    CONFIG.write_text("[core]\n    analytics = false\n['remote \"old\"']\n    url = ../old\n")
    said = dvc_remote.make_default(PLACE)
    assert [line.strip() for line in CONFIG.read_text().splitlines()] == [
        "[core]",
        "analytics = false",
        "remote = store",
        "['remote \"old\"']",
        "url = ../old",
        "['remote \"store\"']",
        "url = s3://faces/unveil",
        "verify = true",
        "endpointurl = http://127.0.0.1:1",
    ]
    assert said == [
        "DVC: the default remote is store, s3://faces/unveil",
        "keep it: git add .dvc/config && git commit",
    ]
    assert sorted(path.name for path in CONFIG.parent.iterdir()) == ["config"]


def test_a_second_time_nothing_is_written():
    dvc_remote.make_default(PLACE)
    before = CONFIG.read_bytes()
    assert len(dvc_remote.make_default(PLACE)) == 1
    assert CONFIG.read_bytes() == before


def test_settings_of_the_same_url_are_kept_and_of_another_removed():
    CONFIG.write_text("['remote \"mine\"']\n    url = s3://faces/unveil\n    jobs = 2\n")
    dvc_remote.make_default(PLACE)
    assert "remote = mine" in CONFIG.read_text()
    assert "jobs = 2" in CONFIG.read_text()
    CONFIG.write_text("['remote \"store\"']\n    url = s3://old/unveil\n    jobs = 2\n")
    said = dvc_remote.make_default(PLACE)
    assert said[0].endswith("s3://faces/unveil in place of s3://old/unveil")
    assert "jobs" not in CONFIG.read_text()


def test_credentials_and_endpoint_come_from_all_levels():
    dvc_remote.make_default(PLACE)
    LOCAL.write_text("['remote \"store\"']\n    access_key_id = AKIA\n    secret_access_key = s\n")
    found = dvc_remote.settings(PLACE.url)
    assert (found["access_key_id"], found["secret_access_key"]) == ("AKIA", "s")
    assert found["endpointurl"] == PLACE.endpoint
    elsewhere = dvc_remote.settings("s3://other/unveil")
    assert set(elsewhere) == {"access_key_id", "secret_access_key"}


def test_credentials_may_be_set_before_the_remote():
    LOCAL.write_text("['remote \"store\"']\n    access_key_id = AKIA\n")
    assert dvc_remote.settings(PLACE.url) == {"access_key_id": "AKIA"}


def test_differences_in_config_local_are_reported():
    LOCAL.write_text("[core]\n    remote = mine\n['remote \"mine\"']\n    url = ../mine\n")
    said = dvc_remote.make_default(PLACE)
    assert said[-1] == "DIFFERS here, by .dvc/config.local: the default remote is mine"


def test_credentials_in_git_are_refused_by_name_and_not_shown():
    dvc_remote.make_default(PLACE)
    CONFIG.write_text(CONFIG.read_text() + "    secret_access_key = hidden\n")
    with pytest.raises(UserError, match="is in git and holds secret_access_key; move it") as said:
        dvc_remote.settings(PLACE.url)
    assert "hidden" not in str(said.value)


def test_outside_a_dvc_project_is_a_one_line_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(UserError, match=r"\.dvc/config not found; run `dvc init`"):
        dvc_remote.settings(PLACE.url)


@pytest.mark.parametrize("text", ["[core\n", "[core]\n    nonsense = 1\n"])
def test_an_invalid_configuration_is_a_one_line_error_and_kept(text):
    CONFIG.write_text(text)
    with pytest.raises(UserError, match=r"^DVC: .+$") as said:
        dvc_remote.make_default(PLACE)
    assert "\n" not in str(said.value)
    assert CONFIG.read_text() == text


def unveil(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "unveil", "remote", "create", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with servers.guarded_s3_server(folder, buckets.POLICIES) as given:
        yield given


def test_the_command_reports_its_steps_without_credentials(guarded, monkeypatch):
    endpoint, keys = guarded
    owner = keys["owner"]
    LOCAL.write_text(
        "['remote \"store\"']\n"
        f"    access_key_id = {owner['AWS_ACCESS_KEY_ID']}\n"
        f"    secret_access_key = {owner['AWS_SECRET_ACCESS_KEY']}\n"
    )
    # Those of config.local go before, as they do for DVC.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "other")
    asked = ["s3://faces/unveil", "--endpoint", endpoint, "--region", "us-east-1"]
    said = unveil(*asked, "--retention-days", "14")
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[0] == "bucket faces: created"
    assert "retention: versions expire 14 days after they are deleted or replaced" in lines
    assert "DVC: the default remote is store, s3://faces/unveil" in lines
    for text in (said.stdout, said.stderr, CONFIG.read_text()):
        assert not [secret for secret in list(owner.values())[:2] if secret in text]
    again = unveil("s3://faces/unveil")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("bucket faces: exists\n")


def test_a_refused_command_does_not_change_the_remote(guarded, monkeypatch):
    endpoint, keys = guarded
    for name, value in {**keys["reader"], "AWS_ENDPOINT_URL_S3": endpoint}.items():
        monkeypatch.setenv(name, value)
    before = CONFIG.read_bytes()
    said = unveil("s3://taken/unveil")
    assert said.returncode == 2
    assert said.stderr.count("\n") == 1
    assert said.stderr.startswith(
        "unveil: s3://taken/unveil: these credentials may not read the bucket"
    )
    assert CONFIG.read_bytes() == before
