"""Options of glibc's malloc that keep freed memory in the process for the next training step.

Every step allocates and frees the same arrays. By default glibc returns them to the kernel in
between, which causes page faults: 54,000 in a step of EfficientNetB0, a sixth of its time on two
cores (docs/experiments.md).
"""

import ctypes
import platform

OPTIONS = {
    "M_TRIM_THRESHOLD": (-1, -1),  # never shrink the heap
    "M_MMAP_MAX": (-4, 0),  # never use mmap for large arrays
    "M_ARENA_MAX": (-8, 1),  # one arena: others are unmapped whatever the threshold
}
"""Option number from malloc.h and value (mallopt(3))."""


def keep_freed_memory() -> None:
    """Set the options; does nothing where malloc is not that of glibc.

    Call it before any thread starts: a thread that has allocated before keeps its own heap.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in OPTIONS.values():
            libc.mallopt(option, value)
