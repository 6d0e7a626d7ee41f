"""A process that learns in one way, epoch by epoch as it is asked to.

``python -m unveil.speed.ways NAME`` in a project's folder, as `turns` starts it.
"""

import sys
from collections.abc import Callable

from unveil.benchmarks.training.progress import MEMORY
from unveil.common import backend
from unveil.config import params
from unveil.config.params import Params

Learn = Callable[[str, Params, int], None]
"""Learns an architecture for some epochs, and says each through a `Teller`."""


def main(name: str) -> None:
    """Answer every ``KEY EPOCHS`` until there is no more to answer."""
    MEMORY.start()
    learn, loaded = _way(name), params.load()
    for line in iter(sys.stdin.readline, ""):
        key, epochs = line.split()
        learn(key, loaded, int(epochs))


def _way(name: str) -> Learn:
    if name == "usual":
        # Keras as it comes, without what `unveil.backend` sets up.
        from unveil.benchmarks.training import baseline

        return baseline.learn
    backend.load()

    from unveil.benchmarks.training import own

    return own.WAYS[name]


if __name__ == "__main__":
    main(sys.argv[1])
