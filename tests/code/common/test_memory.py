"""Memory freed by training steps stays in the process."""

import os
import platform
import subprocess
import sys

import pytest

from unveil.common import memory

# Huge pages, for which numpy asks, would hide most faults.
SMALL_PAGES = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
FAULTS = """
import resource, sys, threading
import numpy as np
from unveil.common import memory
if sys.argv[1] == "kept":
    memory.keep_freed_memory()
def touch():
    np.ones(32 << 20, np.uint8)
    np.ones(128 << 20, np.uint8)
def faults():
    thread = threading.Thread(target=touch)
    thread.start()
    thread.join()
    touch()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
faults()
before = faults()
for _ in range(4):
    after = faults()
print(after - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="malloc is not that of glibc")
def test_kept_memory_causes_no_page_faults_in_any_thread():
    kept, given_back = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS, how], env=SMALL_PAGES))
        for how in ("kept", "given back")
    )
    assert given_back > 100_000
    assert kept < 1_000


def test_other_malloc_implementations_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("asked for malloc"))
    memory.keep_freed_memory()
