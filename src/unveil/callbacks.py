"""What happens at the end of an epoch: the best weights are kept, and people hear of it."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import pandas as pd
from tqdm import tqdm

from unveil.params import Stage

Record = Callable[[int, dict[str, float]], None]
"""Called with an epoch (from 0, over both stages) and its measures by name."""


class BestWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Keep the network's weights of the best validation macro-F1, over all stages."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self._network = network
        self._score = float("-inf")
        self._weights = network.get_weights()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Take the weights when they beat all before."""
        score = float((logs or {})["val_macro_f1"])
        if score > self._score:
            self._score, self._weights = score, self._network.get_weights()

    def restore(self) -> None:
        """Put the best weights back into the network."""
        self._network.set_weights(self._weights)


class Epochs(keras.callbacks.Callback):  # type: ignore[misc]
    """Count epochs over both stages, time them, and tell people and the tracker."""

    def __init__(self, key: str, stages: Sequence[Stage], record: Record) -> None:
        super().__init__()
        self.done = 0
        self._key = key
        self._stages = len(stages)
        self._record = record
        self._rows: list[dict[str, Any]] = []
        self._bar: tqdm[Any] | None = None

    def stage(self, number: int, *, steps: int) -> None:
        """Say that a stage of ``steps`` batches an epoch begins."""
        self._number, self._steps = number, steps

    def table(self) -> pd.DataFrame:
        """Give one row for each epoch: epoch, stage, seconds and the measures."""
        return pd.DataFrame(self._rows)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Open the progress of the stage."""
        epochs = self.params["epochs"] - self.done
        self._bar = tqdm(
            total=epochs * self._steps,
            desc=f"{self._key}, stage {self._number} of {self._stages}",
            unit=" batches",
            mininterval=0.5 if sys.stderr.isatty() else 10,
        )

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Move the progress on."""
        if self._bar is not None:
            self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the row of the epoch and pass it on."""
        seconds = time.perf_counter() - self._began
        measures = {name: float(value) for name, value in (logs or {}).items()}
        row = {"epoch": epoch, "stage": self._number, "seconds": seconds, **measures}
        self._rows.append(row)
        self.done = epoch + 1
        self._record(epoch, {"stage": self._number, "epoch_seconds": seconds, **measures})
        if self._bar is not None:
            self._bar.set_postfix(
                epoch=epoch + 1, val_f1=f"{measures['val_macro_f1']:.3f}", refresh=False
            )

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Close the progress."""
        if self._bar is not None:
            self._bar.close()
