"""What becomes of memory that is given back."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from unveil import memory
if sys.argv[1] == "kept":
    memory.keep()
def touched(megabytes):
    np.ones(megabytes << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
touched(256)
before = touched(256)
for _ in range(4):
    after = touched(256)
print(after - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not that of glibc")
def test_memory_that_is_kept_does_not_come_back_by_faults():
    faults = {
        how: int(subprocess.check_output([sys.executable, "-c", FAULTS, how]))
        for how in ("kept", "given back")
    }
    assert faults["kept"] < 100
    assert faults["given back"] > 1000


def test_where_malloc_is_another_nothing_changes(monkeypatch):
    from unveil import memory

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("asked for malloc"))
    memory.keep()
