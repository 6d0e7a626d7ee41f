"""What becomes of memory that a training gives back: its process keeps it for the next step.

Every step takes and gives back the same arrays. The malloc of glibc hands them to the kernel in
between, and each page of them comes back empty by a fault: 54,000 of them in a step of
EfficientNetB0, a sixth of its time.
"""

import ctypes
import platform

KEPT = {
    "M_TRIM_THRESHOLD": (-1, -1),  # never shrink the heap
    "M_MMAP_MAX": (-4, 0),  # nor take large arrays from beside it
    "M_ARENA_MAX": (-8, 1),  # as the heaps of threads do, which hold 64 MB at most
}
"""Number in malloc.h and value of each option (mallopt(3))."""


def keep() -> None:
    """Keep what is given back from now on; where malloc is not that of glibc nothing changes."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in KEPT.values():
            libc.mallopt(option, value)
