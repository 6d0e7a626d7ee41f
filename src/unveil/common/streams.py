"""Standard streams that are closed when a command starts, as after `2>&-` in a shell."""

import os
import sys
from pathlib import Path


def open_closed() -> None:
    """Open the null device in place of each closed standard stream.

    Otherwise the next file that is opened gets the stream's file descriptor, and output of C code
    and of child processes is written into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # A new file gets the lowest free descriptor, and those below are open by now.
            stream = Path(os.devnull).open(mode)  # noqa: SIM115
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
