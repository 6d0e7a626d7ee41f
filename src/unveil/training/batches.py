"""Arrays -> batches, without copying the arrays: they may be larger than memory."""

import functools
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """An endless sequence of shuffled batches of ``arrays``, inputs first.

    Every ``steps`` batches contain each row once. With ``mixup`` each row is mixed with another
    row of its batch, with a ratio drawn from Beta(mixup, mixup) (Zhang et al., 2018,
    arXiv:1710.09412, section 2); 0 disables it.

    ``seed_and_epoch`` is ``(seed, first epoch)``; epoch ``e`` is shuffled with ``(seed, e)``. Batch
    ``i`` depends on ``i`` alone: Keras prefetches batches of the next epoch before
    ``on_epoch_end``, and with a global seed it shuffles arrays into the same order every epoch.
    """

    num_batches = None

    def __init__(
        self,
        *arrays: NDArray[Any],
        batch_size: int,
        seed_and_epoch: tuple[int, int],
        mixup: float = 0,
    ) -> None:
        super().__init__()
        self._mixup = mixup
        self._arrays = arrays
        self._batch_size = batch_size
        self._seed, self._first = seed_and_epoch
        self.steps = -(-len(arrays[0]) // batch_size)
        self._order = functools.lru_cache(maxsize=2)(self._shuffle)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], ...]:
        epoch, step = divmod(index, self.steps)
        rows = self._order(epoch)[step * self._batch_size :][: self._batch_size]
        batch = self._rows(self._first + epoch, rows)
        return self._mix(batch, self._first + epoch, step) if self._mixup else batch

    def _rows(self, epoch: int, rows: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        return tuple(array[rows] for array in self._arrays)

    def _mix(
        self, batch: tuple[NDArray[Any], ...], epoch: int, step: int
    ) -> tuple[NDArray[Any], ...]:
        # NumPy pads a seed with zeros: the last number tells it from that of the shuffle.
        generator = np.random.default_rng((self._seed, epoch, step, 1))
        ratio = np.float32(generator.beta(self._mixup, self._mixup))
        other = generator.permutation(len(batch[0]))
        return tuple(ratio * array + (1 - ratio) * array[other] for array in batch)

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        generator = np.random.default_rng((self._seed, self._first + epoch))
        return generator.permutation(len(self._arrays[0]))


class ViewBatches(Batches):
    """Batches of one view in each epoch: in epoch ``e`` of view ``e`` modulo their number.

    A view is a tuple of arrays, inputs first; ``settings`` are those of `Batches`.
    """

    def __init__(self, *views: tuple[NDArray[Any], ...], **settings: Any) -> None:
        super().__init__(*views[0], **settings)
        self._views = views

    def _rows(self, epoch: int, rows: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        return tuple(array[rows] for array in self._views[epoch % len(self._views)])


class ValidationBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of ``size`` rows of ``arrays``, in order, for validation and prediction.

    Given the arrays themselves, Keras would copy them into one tensor.
    """

    def __init__(self, *arrays: NDArray[Any], size: int) -> None:
        super().__init__()
        self._arrays, self._size = arrays, size

    def __len__(self) -> int:
        return -(-len(self._arrays[0]) // self._size)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], ...]:
        rows = slice(index * self._size, (index + 1) * self._size)
        return tuple(array[rows] for array in self._arrays)


def one_hot(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """One-hot encode class indices ``(n,)`` as ``(n, classes)``."""
    return np.eye(classes, dtype=np.float32)[labels]
