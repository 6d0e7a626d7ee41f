"""What becomes of memory that a training gives back: its process keeps it for the next step.

Every step takes and gives back the same arrays. The malloc of glibc hands them to the kernel in
between, and each page of them comes back empty, by a fault: 54,000 of them in a step of
EfficientNetB0, a sixth of its time on two cores (docs/experiments.md).
"""

import ctypes
import platform

OPTIONS = {
    "M_TRIM_THRESHOLD": (-1, -1),  # never shrink the heap
    "M_MMAP_MAX": (-4, 0),  # nor map large arrays beside it
    "M_ARENA_MAX": (-8, 1),  # and one for all threads: others unmap theirs, whatever the threshold
}
"""Number in malloc.h and value of each (mallopt(3))."""


def keep() -> None:
    """Keep what is given back from now on; where malloc is not that of glibc nothing changes.

    A thread that has allocated before keeps a heap of its own: this comes before any.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, value in OPTIONS.values():
            libc.mallopt(option, value)
