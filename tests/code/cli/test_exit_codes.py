"""Exit codes and one-line errors without secrets."""

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
from tests.support.prefect_project import within
from tests.support.servers import free_port
from typer import TyperException

from unveil.cli import exit_codes
from unveil.common import locks
from unveil.common.errors import UserError

UNVEIL = [sys.executable, "-m", "unveil"]


def raising(error: BaseException):
    def verb() -> None:
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (UserError("a.json is not there"), 2, "unveil: a.json is not there\n"),
        (PermissionError(13, "Permission denied", "a"), 2, "unveil: a: permission denied\n"),
        (OSError(28, "No space left on device"), 2, "unveil: no space left on device\n"),
        (MemoryError(), 2, "unveil: out of memory; .*\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (SystemExit(3), 3, ""),
        (TyperException("not so"), 1, "Error: not so\n"),
    ],
)
def test_an_exception_is_one_line_and_an_exit_code(capsys, monkeypatch, error, code, expected):
    monkeypatch.setattr(exit_codes, "_discard_output", lambda: None)
    assert exit_codes.status(raising(error)) == code
    assert re.fullmatch(expected, capsys.readouterr().err)


def test_an_unexpected_error_is_one_line_with_the_path_of_the_traceback(capsys, monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "very-secret")
    assert exit_codes.status(raising(ZeroDivisionError("of very-secret"))) == 2
    output = capsys.readouterr().err
    line = r"unveil: unexpected ZeroDivisionError: of \*\*\*; the traceback is in (\S+)\n"
    path = Path(re.fullmatch(line, output).group(1))
    kept = path.read_text()
    path.unlink()
    assert "Traceback" in kept and "test_exit_codes.py" in kept and "very-secret" not in kept


def test_the_traceback_is_printed_on_request(capsys, monkeypatch):
    monkeypatch.setenv("UNVEIL_DEBUG", "1")
    assert exit_codes.status(raising(UserError("so"))) == 2
    output = capsys.readouterr().err
    assert output.startswith("Traceback") and output.endswith("unveil: so\n")


def test_an_eof_error_is_not_reported_as_aborted(capsys):
    from unveil.cli import app

    @app.command("end-of-file", hidden=True)
    def end_of_file() -> None:
        raise EOFError("no data left in a.npy")

    try:
        assert exit_codes.status(lambda: app(["end-of-file"], standalone_mode=False)) == 2
    finally:
        app.registered_commands.pop()
    output = capsys.readouterr().err
    assert "no data left in a.npy" in output and "Aborted" not in output


def test_a_closed_pipe_is_exit_code_141(tmp_path):
    read, write = os.pipe()
    os.close(read)
    command = [*UNVEIL, "--help"]
    result = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(write)
    assert (result.returncode, result.stderr) == (141, "")


def test_unwritable_output_is_a_one_line_error():
    with Path("/dev/full").open("w") as full:
        command = [*UNVEIL, "--help"]
        result = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120
        )
    assert result.returncode == 2
    assert result.stderr.startswith("unveil: no space left on device\n")
    assert "Traceback" not in result.stderr


def open_files(process: int) -> set[str]:
    found = set()
    for one in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(str(one.readlink()))
    return found


@pytest.mark.fault("Ctrl-C")
def test_ctrl_c_exits_at_once_with_130_and_no_output(place):
    with locks.file_lock(Path("tokens.json")):
        command = [*UNVEIL, "token", "kiosk"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            lock = str(place / ".tokens.json.lock")
            within(120, lambda: lock in open_files(process.pid))
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == ""
            assert process.wait(timeout=10) == 130
    assert not Path("tokens.json").exists()


def test_no_message_contains_a_password_of_a_server_address(place):
    uri = f"http://worker:s3cr%40t@127.0.0.1:{free_port()}"
    for environment in ({}, {"UNVEIL_DEBUG": "1"}):
        env = {**os.environ, "MLFLOW_TRACKING_URI": uri, **environment}
        command = [*UNVEIL, "champion"]
        result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert result.returncode == 2
        assert "unveil: MLflow at http://***@127.0.0.1" in result.stderr
        assert "s3cr" not in result.stderr + result.stdout


def test_library_logs_contain_no_secret(monkeypatch, caplog):
    made = logging.getLogRecordFactory()
    try:
        exit_codes._mask_logs()
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


def test_an_error_in_a_thread_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", exit_codes._print_thread_error)
    thread = threading.Thread(target=raising(UserError("so")))
    thread.start()
    thread.join()
    assert capsys.readouterr().err == "unveil: so\n"
