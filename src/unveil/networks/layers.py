"""What all networks share: the gray input, its colours, and the classifying end."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


def gray_input(size: int) -> "keras.KerasTensor":
    """Open a network for raw gray faces ``(n, size, size, 1) uint8`` in 0..255."""
    import keras

    return keras.Input((size, size, 1), dtype="uint8", name="faces")


def colored(x: "keras.KerasTensor", color: str) -> "keras.KerasTensor":
    """Repeat the gray channel three times where the network wants RGB."""
    import keras

    return keras.layers.Concatenate(name="rgb", dtype="float32")([x, x, x]) if color == "rgb" else x


def classified(
    faces: "keras.KerasTensor", features: "keras.KerasTensor", *, classes: int, dropout: float
) -> "keras.Model":
    """Close a network: dropout and a softmax in float32 over ``classes``."""
    import keras

    x = keras.layers.Dropout(dropout, name="head_dropout")(features)
    end = keras.layers.Dense(classes, "softmax", name="probabilities", dtype="float32")
    return keras.Model(faces, end(x))
