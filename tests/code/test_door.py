"""How a verb ends: exit codes, a line for whatever is raised, and no secret in it."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from tests.servers import free_port
from tests.workplace import within

from unveil import locks
from unveil.cli import door
from unveil.errors import UserError

UNVEIL = [sys.executable, "-m", "unveil"]


def raising(error: BaseException):
    def verb() -> None:
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("a.json is not there"), 2, "unveil: a.json is not there\n"),
        (PermissionError(13, "Permission denied", "a"), 2, "unveil: a: permission denied\n"),
        (OSError(28, "No space left on device"), 2, "unveil: no space left on device\n"),
        (MemoryError(), 2, "unveil: out of memory; .*\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (SystemExit(3), 3, ""),
    ],
)
def test_what_is_raised_is_a_line_and_a_code(capsys, monkeypatch, error, code, said):
    monkeypatch.setattr(door, "_drop_output", lambda: None)
    assert door.status(raising(error)) == code
    assert re.fullmatch(said, capsys.readouterr().err)


def test_what_nobody_foresaw_is_a_line_that_says_where_the_traceback_is(capsys, monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "very-secret")
    assert door.status(raising(ZeroDivisionError("of very-secret"))) == 2
    said = capsys.readouterr().err
    line = r"unveil: unforeseen ZeroDivisionError: of \*\*\*; the traceback is in (\S+)\n"
    path = Path(re.fullmatch(line, said).group(1))
    kept = path.read_text()
    path.unlink()
    assert "Traceback" in kept and "test_door.py" in kept and "very-secret" not in kept


def test_the_traceback_is_shown_where_it_is_asked_for(capsys, monkeypatch):
    monkeypatch.setenv("UNVEIL_DEBUG", "1")
    assert door.status(raising(UserError("so"))) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and said.endswith("unveil: so\n")


def test_the_end_of_a_file_is_not_taken_for_the_end_of_input(capsys):
    from unveil.cli import app

    @app.command("end-of-file", hidden=True)
    def end_of_file() -> None:
        raise EOFError("no data left in a.npy")

    try:
        assert door.status(lambda: app(["end-of-file"], standalone_mode=False)) == 2
    finally:
        app.registered_commands.pop()
    said = capsys.readouterr().err
    assert "no data left in a.npy" in said and "Aborted" not in said


def test_nobody_reads_on(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [*UNVEIL, "--help"]
    said = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert (said.returncode, said.stderr) == (141, "")


def test_output_that_cannot_be_written_is_a_line():
    with Path("/dev/full").open("w") as full:
        command = [*UNVEIL, "--help"]
        said = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert said.returncode == 2
    assert said.stderr.startswith("unveil: no space left on device\n")
    assert "Traceback" not in said.stderr


def opened_files(process: int) -> set[str]:
    found = set()
    for one in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            found.add(str(one.readlink()))
    return found


@pytest.mark.fault("Ctrl-C")
def test_ctrl_c_ends_a_verb_at_once_with_130_and_says_nothing(place):
    with locks.held(Path("tokens.json")):
        command = [*UNVEIL, "token", "kiosk"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            lock = str(place / ".tokens.json.lock")
            within(120, lambda: lock in opened_files(process.pid))
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == ""
            assert process.wait(timeout=10) == 130
    assert not Path("tokens.json").exists()


def test_a_password_in_the_address_of_a_server_is_in_no_message(place):
    uri = f"http://worker:s3cr%40t@127.0.0.1:{free_port()}"
    for environment in ({}, {"UNVEIL_DEBUG": "1"}):
        env = {**os.environ, "MLFLOW_TRACKING_URI": uri, **environment}
        command = [*UNVEIL, "champion"]
        said = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert said.returncode == 2
        assert "unveil: MLflow at http://***@127.0.0.1" in said.stderr
        assert "s3cr" not in said.stderr + said.stdout


def test_what_libraries_log_has_no_secret_either(monkeypatch, caplog):
    made = logging.getLogRecordFactory()
    try:
        door._mask_logs()
        logging.getLogger("urllib3").warning("retrying %s", "http://u:s3cret@host/")
        try:
            raise OSError("http://u:s3cret@host/")
        except OSError:
            logging.getLogger("mlflow").exception("lost")
    finally:
        logging.setLogRecordFactory(made)
    assert "retrying http://***@host/" in caplog.text
    assert "Traceback" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_thread_that_ends_by_an_error_is_a_line(capsys, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", door._thread_ended)
    thread = threading.Thread(target=raising(UserError("so")))
    thread.start()
    thread.join()
    assert capsys.readouterr().err == "unveil: so\n"
