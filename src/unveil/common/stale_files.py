"""Temporary folders that killed commands left in a checkout; every command removes them first.

They may contain faces. Folders of running commands are locked (`files.temporary_folder`) and stay.
"""

import os
import tempfile
from pathlib import Path

from unveil.common.files import TEMPORARY_PREFIX, remove_stale
from unveil.common.paths import CHECKPOINTS, DATA, PARAMS, TRACKING

PLACES = (DATA, CHECKPOINTS, TRACKING, Path(".dvc/tmp"))
"""Folders searched recursively; the checkout's top folder and the system's TMPDIR are, too."""


def remove() -> list[Path]:
    """Remove temporary folders of killed commands; return those in the checkout still in use."""
    if not PARAMS.exists():
        return []
    remove_stale(Path(tempfile.gettempdir()))
    return [folder for place in _places() for folder in remove_stale(place)]


def _places() -> set[Path]:
    folders = {Path()}
    for parent in PLACES:
        for folder, below, _ in os.walk(parent):
            if any(name.startswith(TEMPORARY_PREFIX) for name in below):
                folders.add(Path(folder))
                below[:] = [name for name in below if not name.startswith(TEMPORARY_PREFIX)]
    return folders
