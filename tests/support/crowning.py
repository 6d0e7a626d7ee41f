"""One of two processes that crown a version each, round after round, at the same moment.

``python -m tests.support.crowning NAME FOLDER ROUNDS`` prints a line for each round: won or lost.
"""

import sys
import time
from pathlib import Path

from unveil import registry

PATIENCE = 120  # seconds in which the other comes to a barrier


def barrier(folder: Path, name: str, moment: str) -> None:
    """Wait until both are here."""
    (folder / f"{moment}-{name}").touch()
    deadline = time.monotonic() + PATIENCE
    while len(list(folder.glob(f"{moment}-*"))) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError(moment)
        time.sleep(0.001)


def main(name: str, folder: Path, rounds: int) -> None:
    """Challenge whoever reigns, once each round; both have looked before either acts."""
    mine = registry.found({"first": "1", "second": "2"}[name])
    for number in range(rounds):
        reign = registry.reign()
        barrier(folder, name, f"{number}-looked")
        try:
            registry.crown(mine, after=reign, act="promoted", reason=f"{name} in round {number}")
            print("won", flush=True)
        except registry.Overtaken as other:
            print(f"lost: {other}", flush=True)
        barrier(folder, name, f"{number}-acted")
        print(registry.champion().number, registry.aliased(), flush=True)
        barrier(folder, name, f"{number}-seen")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
