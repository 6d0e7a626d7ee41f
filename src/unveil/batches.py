"""Arrays -> batches in an order that depends on seed and epoch alone, and their random changes."""

import functools
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from unveil.schema import Augmentation


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of ``(inputs, targets, weights)`` without end, every row once in ``steps`` of them.

    ``lot`` is ``(seed, first epoch)``; epoch ``e`` has the order drawn from ``(seed, e)``. Batch
    ``i`` is a function of ``i`` alone: Keras reads ahead into the next epoch before it says that
    this one ended, and shuffles arrays into the same order every epoch once a seed is set.
    """

    num_batches = None

    def __init__(
        self,
        inputs: NDArray[Any],
        targets: NDArray[Any],
        *,
        weights: NDArray[Any],
        batch_size: int,
        lot: tuple[int, int],
    ) -> None:
        super().__init__()
        self._arrays = (inputs, targets, weights)
        self._batch_size = batch_size
        self._seed, self._first = lot
        self.steps = -(-len(inputs) // batch_size)
        self._order = functools.lru_cache(maxsize=2)(self._drawn)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], ...]:
        epoch, place = divmod(index, self.steps)
        rows = self._order(epoch)[place * self._batch_size :][: self._batch_size]
        return tuple(array[rows] for array in self._arrays)

    def _drawn(self, epoch: int) -> NDArray[np.int64]:
        generator = np.random.default_rng((self._seed, self._first + epoch))
        return generator.permutation(len(self._arrays[0]))


def one_hot(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Give class indices ``(n,)`` as ``(n, classes)`` zeros and ones."""
    return np.eye(classes, dtype=np.float32)[labels]


class Rounded(keras.layers.Layer):  # type: ignore[misc]
    """Round to whole numbers."""

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Round every value."""
        return keras.ops.round(inputs)


def augmentation(amount: Augmentation) -> keras.Sequential:
    """Build the random changes of a batch of faces; outside training they change nothing."""
    layers: list[keras.layers.Layer] = []
    if amount.flip:
        layers.append(keras.layers.RandomFlip("horizontal"))
    if amount.rotation:
        layers.append(keras.layers.RandomRotation(amount.rotation, fill_mode="nearest"))
    if amount.shift:
        layers.append(
            keras.layers.RandomTranslation(amount.shift, amount.shift, fill_mode="nearest")
        )
    if amount.zoom:
        layers.append(keras.layers.RandomZoom(amount.zoom, fill_mode="nearest"))
    if amount.contrast:
        layers.append(keras.layers.RandomContrast(amount.contrast, value_range=(0, 255)))
    # The network takes whole gray values; without rounding they would be cut, half a gray darker.
    return keras.Sequential([*layers, Rounded()], name="augmentation")
