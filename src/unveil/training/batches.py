"""Arrays -> batches, none of them copied whole: they may be larger than memory."""

import functools
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of ``arrays``, inputs first, without end, every row once in ``steps`` of them.

    With ``mixup`` each row is mixed with another of its batch, in a share drawn from
    Beta(mixup, mixup) (Zhang et al., 2018, arXiv:1710.09412, section 2); 0 mixes none.

    ``lot`` is ``(seed, first epoch)``; epoch ``e`` has the order drawn from ``(seed, e)``. Batch
    ``i`` is a function of ``i`` alone: Keras reads ahead into the next epoch before it says that
    this one ended, and shuffles arrays into the same order every epoch once a seed is set.
    """

    num_batches = None

    def __init__(
        self,
        *arrays: NDArray[Any],
        batch_size: int,
        lot: tuple[int, int],
        mixup: float = 0,
    ) -> None:
        super().__init__()
        self._mixup = mixup
        self._arrays = arrays
        self._batch_size = batch_size
        self._seed, self._first = lot
        self.steps = -(-len(arrays[0]) // batch_size)
        self._order = functools.lru_cache(maxsize=2)(self._drawn)

    def __getitem__(self, index: int) -> tuple[NDArray[Any], ...]:
        epoch, place = divmod(index, self.steps)
        rows = self._order(epoch)[place * self._batch_size :][: self._batch_size]
        batch = tuple(array[rows] for array in self._arrays)
        return self._mixed(batch, self._first + epoch, place) if self._mixup else batch

    def _mixed(
        self, batch: tuple[NDArray[Any], ...], epoch: int, place: int
    ) -> tuple[NDArray[Any], ...]:
        # A number more than the order of the epoch has, so that no two draws are the same.
        generator = np.random.default_rng((self._seed, epoch, place, 0))
        share = np.float32(generator.beta(self._mixup, self._mixup))
        other = generator.permutation(len(batch[0]))
        return tuple(share * array + (1 - share) * array[other] for array in batch)

    def _drawn(self, epoch: int) -> NDArray[np.int64]:
        generator = np.random.default_rng((self._seed, self._first + epoch))
        return generator.permutation(len(self._arrays[0]))


class Lots(keras.utils.PyDataset):  # type: ignore[misc]
    """The rows of ``arrays`` in their order, ``size`` at a time.

    Given the arrays themselves, Keras copies them whole into a tensor.
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
    """Give class indices ``(n,)`` as ``(n, classes)`` zeros and ones."""
    return np.eye(classes, dtype=np.float32)[labels]
