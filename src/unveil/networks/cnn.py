"""Convolutional networks trained from scratch, on gray or RGB input."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from unveil.networks.layers import classifier, expand_channels, gray_input

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Cnn:
    """One block for each of ``filters``: convolutions, batch normalization, ReLU, max pooling by 2.

    Each face is standardized to mean 0 and variance 1, so that lighting has no influence (layer
    normalization of the pixels, Ba et al., 2016, arXiv:1607.06450, section 3). ``convolutions`` is
    the number per block, except for the first block, which has one: at full resolution it would
    cost as much as all others together. ``dropout`` is the rate before the last layer.
    """

    builder: Literal["cnn"]
    color: Literal["rgb", "gray"]
    filters: Annotated[
        tuple[Annotated[int, Field(gt=0, le=8192)], ...], Field(min_length=1, max_length=6)
    ]
    convolutions: Annotated[int, Field(ge=1, le=4)]
    dropout: Annotated[float, Field(ge=0, lt=1)]

    frozen_norm = False
    depthwise = False
    onnx_exportable = True

    def without_pretrained_weights(self) -> "Cnn":
        """Return the same architecture without pretrained weights: it has none."""
        return self

    def build(self, image_size: int, classes: int) -> "keras.Model":
        """Build the network for square faces of ``image_size`` pixels, with random weights."""
        import keras

        faces = gray_input(image_size)
        x = expand_channels(_standardize(faces), self.color)
        for number, filters in enumerate(self.filters, start=1):
            x = self._block(x, number, filters)
        x = keras.layers.GlobalAveragePooling2D(name="features", dtype="float32")(x)
        return classifier(faces, x, classes=classes, dropout=self.dropout)

    def _block(self, x: "keras.KerasTensor", number: int, filters: int) -> "keras.KerasTensor":
        from keras import layers

        for step in range(1, 2 if number == 1 else self.convolutions + 1):
            name = f"block{number}_conv{step}"
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
            x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
            x = layers.ReLU(name=f"{name}_relu")(x)
        return layers.MaxPooling2D(2, padding="same", name=f"block{number}_pool")(x)


def _standardize(faces: "keras.KerasTensor") -> "keras.KerasTensor":
    from keras import layers

    x = layers.Rescaling(1 / 255, name="scale", dtype="float32")(faces)
    # A hundredth of the range is added to the standard deviation, so that the noise of a nearly
    # constant image is not amplified.
    norm = layers.LayerNormalization(
        axis=(1, 2, 3), epsilon=1e-4, center=False, scale=False, name="standardize", dtype="float32"
    )
    return norm(x)
