"""What happens around an epoch: its draws, the best weights, its row, and when a stage ends."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from unveil.config.schema import Stage

Row = dict[str, float]
"""One epoch: ``epoch`` (from 0, over both stages), ``stage`` (from 1), ``seconds``, ``timestamp``
(milliseconds since 1970) and the measures by name."""

Record = Callable[[Row], None]
"""Called with the row of each epoch, in order."""


class Draws(keras.callbacks.Callback):  # type: ignore[misc]
    """Draw the dropout and the augmentation of an epoch from seed and epoch alone.

    Keras saves the state of no generator: a training that goes on after a kill would draw anew.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Set every generator of the network that learns."""
        for place, generator in enumerate(generators(self.model)):
            drawn = np.random.SeedSequence((self._seed, epoch, place)).generate_state(1)[0] >> 1
            generator.state.assign([int(drawn), 0])


def generators(network: keras.Model) -> list[keras.random.SeedGenerator]:
    """List the random generators of all layers, in the order of the layers."""
    layers = network._flatten_layers()
    return [generator for layer in layers for generator in layer._seed_generators]


class Norms(keras.callbacks.Callback):  # type: ignore[misc]
    """While averaged weights are measured, give their batch-norms the statistics they make.

    Those that were followed are of the weights that learn: with them a network of five blocks was
    0.05 of macro-F1 worse. Izmailov et al. (2018, arXiv:1803.05407, section 3.2) do the same.
    """

    BATCHES = 20

    def __init__(self, batches: Sequence[tuple[Any, ...]]) -> None:
        super().__init__()
        self._inputs = [batches[place][0] for place in range(self.BATCHES)]

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Take the mean of the statistics over some batches."""
        layers = self.model._flatten_layers()
        kind = keras.layers.BatchNormalization
        self._norms = [one for one in layers if isinstance(one, kind) and one.trainable]
        self._before = [(one.momentum, one.get_weights()) for one in self._norms]
        for place, inputs in enumerate(self._inputs):
            for norm in self._norms:
                norm.momentum = place / (place + 1)
            self.model(inputs, training=True)

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Put the statistics of the weights that learn back."""
        for norm, (momentum, (*_, mean, variance)) in zip(self._norms, self._before, strict=True):
            norm.momentum = momentum
            norm.moving_mean.assign(mean)
            norm.moving_variance.assign(variance)


class BestWeights(keras.callbacks.Callback):  # type: ignore[misc]
    """Keep the network's weights of the best validation macro-F1, over all stages.

    They are taken while the validation is under way: with a moving average of the weights, what is
    measured then is in the network then, and no longer at the end of the epoch.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self._network = network
        self.score = float("-inf")
        self.weights = network.get_weights()

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        """Take the weights when they beat all before."""
        score = float((logs or {})["macro_f1"])
        if score > self.score:
            self.score, self.weights = score, self._network.get_weights()

    def restore(self) -> None:
        """Put the best weights back into the network."""
        self._network.set_weights(self.weights)


class Patience(keras.callbacks.Callback):  # type: ignore[misc]
    """End a stage after ``patience`` epochs without a better validation macro-F1.

    With ``decay: plateau`` the rate is halved after each ``patience // 2`` of them in a row.
    """

    def __init__(self, stage: Stage, *, best: float = float("-inf"), waited: int = 0) -> None:
        super().__init__()
        self._stage = stage
        self.best, self.waited = best, waited

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Count, and halve the rate or end the stage when it is time."""
        score = float((logs or {})["val_macro_f1"])
        if score > self.best:
            self.best, self.waited = score, 0
            return
        self.waited += 1
        if self.waited >= self._stage.patience:
            self.model.stop_training = True
        elif self._stage.decay == "plateau" and not self.waited % (self._stage.patience // 2):
            rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
            self.model.optimizer.learning_rate = float(rate) / 2


class Epochs(keras.callbacks.Callback):  # type: ignore[misc]
    """Write the row of every epoch, over both stages, and show people the progress."""

    def __init__(self, key: str, stages: int) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self._key = key
        self._stages = stages
        self._bar: tqdm[Any] | None = None

    @property
    def done(self) -> int:
        """The number of finished epochs."""
        return len(self.rows)

    def stage(self, number: int, *, steps: int) -> None:
        """Say that a stage of ``steps`` batches an epoch begins."""
        self._number, self._steps = number, steps

    def table(self) -> pd.DataFrame:
        """Give one row for each epoch."""
        return pd.DataFrame(self.rows)

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
        """Write the row of the epoch."""
        row: Row = {
            "epoch": epoch,
            "stage": self._number,
            "seconds": time.perf_counter() - self._began,
            "timestamp": round(time.time() * 1000),
            **{name: float(value) for name, value in (logs or {}).items()},
        }
        self.rows.append(row)
        if self._bar is not None:
            self._bar.set_postfix(
                epoch=epoch + 1, val_f1=f"{row['val_macro_f1']:.3f}", refresh=False
            )

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Close the progress."""
        if self._bar is not None:
            self._bar.close()
