"""The null device takes the place of a standard stream that is closed."""

import pytest
from tests.support import closed

PROGRAM = """
import os, subprocess, sys
from unveil.common import streams
streams.open_closed()
code = "import os; [os.fstat(number) for number in (0, 1, 2)]; print('a line of a child')"
with open(FILE, "w") as file:
    assert file.fileno() > 2
    print("a line of Python", file=sys.stderr, flush=True)
    os.write(2, b"a line of C\\n")
    print("output", flush=True)
    sys.exit(subprocess.run([sys.executable, "-c", code]).returncode)
"""


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_closed_stream_takes_output_and_no_file_gets_its_descriptor(number, tmp_path):
    file = tmp_path / "file"
    ended = closed.run(PROGRAM.replace("FILE", repr(str(file))), number)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert file.read_text() == ""
    assert ended.stdout == ("" if number == 1 else "output\na line of a child\n")
    assert ended.stderr == ("" if number == 2 else "a line of Python\na line of C\n")


def test_keras_is_imported_without_standard_error():
    ended = closed.run("from unveil.common import backend; backend.load(); print('loaded')", 2)
    assert (ended.returncode, ended.stdout) == (0, "loaded\n")


def test_an_error_line_without_standard_error_is_not_taken_for_output():
    program = "import sys; from unveil.cli import main; sys.argv[1:] = ['sample', '/']; main()"
    ended = closed.run(program, 2)
    assert (ended.returncode, ended.stdout) == (2, "")
