"""Convolution blocks from scratch, gray or RGB."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from unveil.networks.layers import classified, colored, gray_input

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Cnn:
    """One block for each of ``filters``: convolutions, batch-norm, ReLU, then halved in size.

    Each face comes to a mean of 0 and a variance of 1 before, so that its light says nothing
    (layer normalization of the pixels, Ba et al., 2016, arXiv:1607.06450, section 3).
    ``convolutions`` is their number in every block but the first, which has one: it works at full
    resolution and would cost as much as the rest together. ``dropout`` is a share, before the
    last layer.
    """

    builder: Literal["cnn"]
    color: Literal["rgb", "gray"]
    filters: Annotated[
        tuple[Annotated[int, Field(gt=0, le=8192)], ...], Field(min_length=1, max_length=6)
    ]
    convolutions: Annotated[int, Field(ge=1, le=4)]
    dropout: Annotated[float, Field(ge=0, lt=1)]

    pretrained = False
    depthwise = False
    exports = True

    def untrained(self) -> "Cnn":
        """Give the same without learned weights: it has none."""
        return self

    def build(self, image_size: int, classes: int) -> "keras.Model":
        """Make the network with random weights."""
        import keras

        faces = gray_input(image_size)
        x = colored(_standardized(faces), self.color)
        for number, filters in enumerate(self.filters, start=1):
            x = self._block(x, number, filters)
        x = keras.layers.GlobalAveragePooling2D(name="features", dtype="float32")(x)
        return classified(faces, x, classes=classes, dropout=self.dropout)

    def _block(self, x: "keras.KerasTensor", number: int, filters: int) -> "keras.KerasTensor":
        from keras import layers

        for step in range(1, 2 if number == 1 else self.convolutions + 1):
            name = f"block{number}_conv{step}"
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        return layers.MaxPooling2D(2, padding="same", name=f"block{number}_pool")(x)


def _standardized(faces: "keras.KerasTensor") -> "keras.KerasTensor":
    from keras import layers

    x = layers.Rescaling(1 / 255, name="scale", dtype="float32")(faces)
    # A hundredth of the range is added to the spread, lest the noise of an empty face be a face.
    norm = layers.LayerNormalization(
        axis=(1, 2, 3), epsilon=1e-4, center=False, scale=False, name="standardize", dtype="float32"
    )
    return norm(x)
