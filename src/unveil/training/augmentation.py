"""The random changes of a training face, drawn anew for each face of each batch.

Takes the amounts of ``params.yaml``; gives a network that changes ``(n, size, size, 1)`` gray
values in training, and in use gives them back as they are.
"""

import math
from typing import Any

import keras

from unveil.config.schema import Augmentation

EXACT = "float32"
"""Of gray values, whatever the network computes in."""
REACH = 2
"""Pixels to each side that a blurred one is made of: twice the widest blur's."""


class Moved(keras.layers.Layer):  # type: ignore[misc]
    """Mirror, turn, zoom and shift in one affine map, so that a face is sampled once.

    Sampled three times, by three layers, it is blurred three times and takes as much longer. What
    comes into view repeats the edge.
    """

    def __init__(self, amount: Augmentation) -> None:
        super().__init__(name="moved", dtype=EXACT)
        self._amount = amount
        self._generator = keras.random.SeedGenerator(0)

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Move each face by a map of its own; outside training none."""
        if not training:
            return inputs
        faces = keras.ops.cast(inputs, "float32")
        count, size = keras.ops.shape(faces)[0], faces.shape[1]
        return keras.ops.image.affine_transform(
            faces, self._maps(count, size), interpolation="bilinear", fill_mode="nearest"
        )

    def _maps(self, count: int, size: int) -> keras.KerasTensor:
        """Draw ``(n, 8)`` maps from the places of the new face to those of the old."""
        amount, ops = self._amount, keras.ops
        turned = self._drawn(count, 2 * math.pi * amount.rotation)
        wide, high = (1 + self._drawn(count, amount.zoom) for _ in range(2))
        right, down = (size * self._drawn(count, amount.shift) for _ in range(2))
        if amount.flip:
            wide = ops.where(self._drawn(count, 1) < 0, -wide, wide)
        a, b = wide * ops.cos(turned), -high * ops.sin(turned)
        c, d = wide * ops.sin(turned), high * ops.cos(turned)
        middle = (size - 1) / 2  # the map keeps the middle of the face where it is
        x, y = middle - middle * (a + b) + right, middle - middle * (c + d) + down
        none = ops.zeros_like(a)
        return ops.stack([a, b, x, c, d, y, none, none], axis=1)

    def _drawn(self, count: int, most: float) -> keras.KerasTensor:
        return keras.random.uniform((count,), -most, most, seed=self._generator)


class Blurred(keras.layers.RandomGaussianBlur):  # type: ignore[misc]
    """Blur as many faces as the chance says; each side and batch have a width of their own."""

    def __init__(self, chance: float) -> None:
        super().__init__((chance, chance), kernel_size=1 + 2 * REACH, sigma=1.0, dtype=EXACT)

    def transform_images(
        self, images: keras.KerasTensor, *arguments: Any, **settings: Any
    ) -> keras.KerasTensor:
        """Blur each face with itself beyond its edge, where Keras would have black."""
        beyond = [[0, 0], [REACH, REACH], [REACH, REACH], [0, 0]]
        wide = keras.ops.pad(images, beyond, mode="symmetric")
        wide = super().transform_images(wide, *arguments, **settings)
        return wide[:, REACH:-REACH, REACH:-REACH]


class Rounded(keras.layers.Layer):  # type: ignore[misc]
    """Round to whole gray values; without it they would be cut, half a gray darker."""

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Round every value."""
        return keras.ops.round(inputs)


def augmentation(amount: Augmentation) -> keras.Sequential:
    """Build the random changes of a batch of faces; outside training they change nothing."""
    layers: list[keras.layers.Layer] = []
    if amount.flip or amount.rotation or amount.shift or amount.zoom:
        layers.append(Moved(amount))
    if amount.contrast:
        layers.append(
            keras.layers.RandomContrast(amount.contrast, value_range=(0, 255), dtype=EXACT)
        )
    if amount.blur:
        layers.append(Blurred(amount.blur))
    if amount.erasing:
        # A single number would be the most of a chance that is drawn itself.
        layers.append(keras.layers.RandomErasing((amount.erasing, amount.erasing), dtype=EXACT))
    return keras.Sequential([*layers, Rounded(dtype=EXACT)], name="augmentation")
