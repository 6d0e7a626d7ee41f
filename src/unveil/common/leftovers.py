"""What killed commands left half-made anywhere in a checkout: every command removes it first.

It may hold faces. What a living command makes is locked (`unveil.files.temporary`) and stays.
"""

import os
import tempfile
from pathlib import Path

from unveil.common.files import HALF_MADE, sweep
from unveil.common.paths import CHECKPOINTS, DATA, PARAMS, TRACKING

PLACES = (DATA, CHECKPOINTS, TRACKING, Path(".dvc/tmp"))
"""Where, with all folders below; besides there are the checkout's own folder and the system's."""


def remove() -> list[Path]:
    """Remove what nobody makes any more; gives what is still being made in the checkout."""
    if not PARAMS.exists():
        return []
    sweep(Path(tempfile.gettempdir()))
    return [folder for place in _places() for folder in sweep(place)]


def _places() -> set[Path]:
    found = {Path()}
    for place in PLACES:
        for folder, below, _ in os.walk(place):
            if any(name.startswith(HALF_MADE) for name in below):
                found.add(Path(folder))
                below[:] = [name for name in below if not name.startswith(HALF_MADE)]
    return found
