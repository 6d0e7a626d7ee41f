"""Layers shared by all networks: the gray input, the RGB conversion and the classification head."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def gray_input(size: int) -> "keras.KerasTensor":
    """Return the input layer for raw gray faces ``(n, size, size, 1) uint8`` in 0..255."""
    import keras

    return keras.Input((size, size, 1), dtype="uint8", name="faces")


def expand_channels(x: "keras.KerasTensor", color: str) -> "keras.KerasTensor":
    """Repeat the gray channel three times if ``color`` is ``rgb``."""
    import keras

    return keras.layers.Concatenate(name="rgb", dtype="float32")([x, x, x]) if color == "rgb" else x


def classifier(
    faces: "keras.KerasTensor", features: "keras.KerasTensor", *, classes: int, dropout: float
) -> "keras.Model":
    """Return the model with dropout and a float32 softmax over ``classes`` after ``features``."""
    import keras

    x = keras.layers.Dropout(dropout, name="head_dropout")(features)
    end = keras.layers.Dense(classes, "softmax", name="probabilities", dtype="float32")
    return keras.Model(faces, end(x))
