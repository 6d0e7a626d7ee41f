"""One of two processes that each set their version as champion, round after round, at once.

``python -m tests.support.promoting NAME FOLDER ROUNDS`` prints a line for each round: won or lost.
"""

import sys
import time
from pathlib import Path

from unveil import registry

TIMEOUT = 120  # seconds to wait for the other process


def barrier(folder: Path, name: str, moment: str) -> None:
    """Wait until both processes have arrived."""
    (folder / f"{moment}-{name}").touch()
    deadline = time.monotonic() + TIMEOUT
    while len(list(folder.glob(f"{moment}-*"))) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError(moment)
        time.sleep(0.001)


def main(name: str, folder: Path, rounds: int) -> None:
    """Set our version as champion once a round, after both processes have read the champion."""
    mine = registry.find_version({"first": "1", "second": "2"}[name])
    for number in range(rounds):
        record = registry.champion_record()
        barrier(folder, name, f"{number}-looked")
        try:
            registry.set_champion(
                mine, after=record, act="promoted", reason=f"{name} in round {number}"
            )
            print("won", flush=True)
        except registry.ChampionChanged as other:
            print(f"lost: {other}", flush=True)
        barrier(folder, name, f"{number}-acted")
        print(registry.champion().number, registry.aliased_version(), flush=True)
        barrier(folder, name, f"{number}-seen")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
