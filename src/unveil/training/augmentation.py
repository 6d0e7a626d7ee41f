"""Data augmentation: random changes, drawn independently for each face of each batch.

Takes the amounts from ``params.yaml``; builds a network that augments ``(n, size, size, 1)`` gray
values during training and returns them unchanged at inference.
"""

import math
from typing import Any

import keras

from unveil.config.schema import Augmentation

DTYPE = "float32"
"""The dtype of gray values, independent of the network's dtype policy."""
BLUR_RADIUS = 2
"""Radius of the blur kernel in pixels: twice the largest sigma."""


class RandomAffine(keras.layers.Layer):  # type: ignore[misc]
    """Flip, rotate, zoom and shift in one affine transform, so that a face is resampled once.

    Three separate layers would resample, and thus blur, three times and take three times as long.
    Pixels from outside the face repeat its edge.
    """

    def __init__(self, amount: Augmentation) -> None:
        super().__init__(name="moved", dtype=DTYPE)
        self._amount = amount
        self._generator = keras.random.SeedGenerator(0)

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Apply a random transform to each face; outside training, return the faces unchanged."""
        if not training:
            return inputs
        faces = keras.ops.cast(inputs, "float32")
        count, size = keras.ops.shape(faces)[0], faces.shape[1]
        return keras.ops.image.affine_transform(
            faces, self._transforms(count, size), interpolation="bilinear", fill_mode="nearest"
        )

    def _transforms(self, count: int, size: int) -> keras.KerasTensor:
        """Draw ``(n, 8)`` transforms from output coordinates to input coordinates."""
        amount, ops = self._amount, keras.ops
        angle = self._uniform(count, 2 * math.pi * amount.rotation)
        wide, high = (1 + self._uniform(count, amount.zoom) for _ in range(2))
        right, down = (size * self._uniform(count, amount.shift) for _ in range(2))
        if amount.flip:
            wide = ops.where(self._uniform(count, 1) < 0, -wide, wide)
        a, b = wide * ops.cos(angle), -high * ops.sin(angle)
        c, d = wide * ops.sin(angle), high * ops.cos(angle)
        middle = (size - 1) / 2  # rotate and zoom about the centre of the face
        x, y = middle - middle * (a + b) + right, middle - middle * (c + d) + down
        zeros = ops.zeros_like(a)
        return ops.stack([a, b, x, c, d, y, zeros, zeros], axis=1)

    def _uniform(self, count: int, limit: float) -> keras.KerasTensor:
        return keras.random.uniform((count,), -limit, limit, seed=self._generator)


class RandomBlur(keras.layers.RandomGaussianBlur):  # type: ignore[misc]
    """Blur each face with a probability; sigma is drawn per axis and batch."""

    def __init__(self, probability: float) -> None:
        super().__init__(
            (probability, probability),
            kernel_size=1 + 2 * BLUR_RADIUS,
            sigma=1.0,
            dtype=DTYPE,
            name="blurred",
        )

    def transform_images(
        self, images: keras.KerasTensor, *arguments: Any, **settings: Any
    ) -> keras.KerasTensor:
        """Blur with mirrored padding, where Keras would pad with black."""
        padding = [[0, 0], [BLUR_RADIUS, BLUR_RADIUS], [BLUR_RADIUS, BLUR_RADIUS], [0, 0]]
        padded = keras.ops.pad(images, padding, mode="symmetric")
        padded = super().transform_images(padded, *arguments, **settings)
        return padded[:, BLUR_RADIUS:-BLUR_RADIUS, BLUR_RADIUS:-BLUR_RADIUS]


class RoundToInteger(keras.layers.Layer):  # type: ignore[misc]
    """Round to integer gray values; truncation would darken images by half a gray level."""

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Round every value to the nearest integer."""
        return keras.ops.round(inputs)


def augmentation(amount: Augmentation) -> keras.Sequential:
    """Build the augmentation layers; outside training they return faces unchanged."""
    layers: list[keras.layers.Layer] = []
    if amount.rotation or amount.shift or amount.zoom:
        layers.append(RandomAffine(amount))
    elif amount.flip:
        layers.append(keras.layers.RandomFlip("horizontal", dtype=DTYPE))
    if amount.contrast:
        layers.append(
            keras.layers.RandomContrast(amount.contrast, value_range=(0, 255), dtype=DTYPE)
        )
    if amount.blur:
        layers.append(RandomBlur(amount.blur))
    if amount.erasing:
        # A single number would be the upper bound of a randomly drawn factor.
        layers.append(keras.layers.RandomErasing((amount.erasing, amount.erasing), dtype=DTYPE))
    return keras.Sequential(
        [*layers, RoundToInteger(dtype=DTYPE, name="rounded")], name="augmentation"
    )
