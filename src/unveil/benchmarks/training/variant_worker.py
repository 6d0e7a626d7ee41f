"""The process of one variant, which trains epoch by epoch on request.

`alternating_runs` starts it in a project's folder, as ``python -m
unveil.benchmarks.training.variant_worker NAME``.
"""

import sys
from collections.abc import Callable

from unveil.benchmarks.training.progress import MEMORY
from unveil.common import backend
from unveil.config import params
from unveil.config.params import Params

Learn = Callable[[str, Params, int], None]
"""Trains an architecture for some epochs, and reports each through an `EpochReporter`."""


def main(name: str) -> None:
    """Process lines ``KEY EPOCHS`` until stdin is closed."""
    MEMORY.start()
    learn, loaded = _variant(name), params.load()
    for line in iter(sys.stdin.readline, ""):
        key, epochs = line.split()
        learn(key, loaded, int(epochs))


def _variant(name: str) -> Learn:
    if name == "baseline":
        # Keras as installed, without the settings of `unveil.common.backend`.
        from unveil.benchmarks.training import baseline

        return baseline.learn
    backend.load()

    from unveil.benchmarks.training import variants

    return variants.VARIANTS[name]


if __name__ == "__main__":
    main(sys.argv[1])
