"""EfficientNet-Lite0 to Lite4, which keras.applications lacks; used like its networks.

EfficientNet (Tan & Le, 2019, arXiv:1905.11946) for processors without fast sigmoids, as its authors
describe it in their TPU repository (tensorflow/tpu, models/official/efficientnet/lite): no
squeeze-and-excitation, ReLU6 in place of swish, and a stem, a head and the number of blocks of the
first and the last stage that are not scaled. Layers have the names of Keras's EfficientNet.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

SCALES = {
    "EfficientNetLite0": (1.0, 1.0),
    "EfficientNetLite1": (1.0, 1.1),
    "EfficientNetLite2": (1.1, 1.2),
    "EfficientNetLite3": (1.2, 1.4),
    "EfficientNetLite4": (1.4, 1.8),
}
"""Factors of width and depth of each network."""
STEM, TOP = 32, 1280
"""Filters of the first and of the last convolution."""
MIN_SIZE = 32
"""The smallest side of the input in pixels, as in keras.applications: features of 1 x 1."""
DROP_CONNECT = 0.2
"""The probability with which the last residual block is left out of a training step."""


@dataclass(frozen=True)
class _Block:
    """One inverted residual block; the first of a stage may halve the resolution."""

    name: str
    kernel: int
    filters: int
    expansion: int
    strides: int
    drop: float = 0.0


# Kernel, blocks, filters, expansion and strides of each stage of EfficientNet-B0 (table 1).
_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
)


def preprocess_input(x: Any) -> Any:
    """Scale pixels in 0..255 to about -1..1, as the weights were trained: ``(x - 127) / 128``."""
    import keras

    return keras.layers.Rescaling(1 / 128, -127 / 128, name="preprocess", dtype="float32")(x)


def block_names(name: str) -> list[str]:
    """Return the names of the blocks of a network, first to last: ``block1a``, ``block2a``, ..."""
    return [block.name for block in _blocks(*SCALES[name])]


def _efficientnet_lite(
    name: str, *, include_top: bool, weights: str | None, input_tensor: "keras.KerasTensor"
) -> "keras.Model":
    """Build the network up to its last activation, ``(n, size / 32, size / 32, 1280)``.

    ``weights`` is a file or ``None``.

    Raises:
        ValueError: the input is smaller than 32 pixels, or there are no such weights.
    """
    import keras

    if include_top or weights == "imagenet":
        raise ValueError("Keras has none; those of ImageNet are in packages")
    if min(input_tensor.shape[1:3]) < MIN_SIZE:
        raise ValueError(f"the input must have {MIN_SIZE} pixels or more")
    x = _relu6(_convolution(input_tensor, "stem_", STEM, kernel=3, strides=2), "stem_")
    for block in _blocks(*SCALES[name]):
        x = _residual_block(x, block)
    x = _relu6(_convolution(x, "top_", TOP), "top_")
    network = keras.Model(keras.utils.get_source_inputs(input_tensor), x, name=name.lower())
    if weights is not None:
        network.load_weights(weights)
    return network


def _blocks(width: float, depth: float) -> Iterator[_Block]:
    unscaled = (0, len(_STAGES) - 1)
    repeats = [
        count if number in unscaled else math.ceil(depth * count)
        for number, (_, count, *_) in enumerate(_STAGES)
    ]
    passed, total = 0, sum(repeats)
    for number, (kernel, _, filters, expansion, strides) in enumerate(_STAGES):
        first = _Block("", kernel, _rounded(width * filters), expansion, strides)
        for place in range(repeats[number]):
            yield replace(
                first,
                name=f"block{number + 1}{chr(ord('a') + place)}",
                strides=1 if place else strides,
                drop=DROP_CONNECT * passed / total,
            )
            passed += 1


def _rounded(filters: float) -> int:
    """Round to a multiple of 8 that is at least nine tenths of ``filters``."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * filters else rounded + 8


def _residual_block(x: "keras.KerasTensor", block: _Block) -> "keras.KerasTensor":
    from keras import layers

    name, inputs, filters = f"{block.name}_", x, x.shape[-1]
    if block.expansion > 1:
        x = _relu6(_convolution(x, f"{name}expand_", filters * block.expansion), f"{name}expand_")
    dwconv = layers.DepthwiseConv2D(
        block.kernel, block.strides, "same", use_bias=False, name=f"{name}dwconv"
    )
    x = _relu6(_norm(dwconv(x), name), name)
    x = _convolution(x, f"{name}project_", block.filters)
    if block.strides > 1 or block.filters != filters:
        return x
    if block.drop > 0:  # stochastic depth, Huang et al., 2016, arXiv:1603.09382
        shape = (None, 1, 1, 1)
        x = layers.Dropout(block.drop, noise_shape=shape, name=f"{name}drop")(x)
    return layers.Add(name=f"{name}add")([x, inputs])


def _convolution(
    x: "keras.KerasTensor", name: str, filters: int, kernel: int = 1, strides: int = 1
) -> "keras.KerasTensor":
    """Convolution and batch normalization."""
    import keras

    conv = keras.layers.Conv2D(filters, kernel, strides, "same", use_bias=False, name=f"{name}conv")
    return _norm(conv(x), name)


def _norm(x: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    import keras

    return keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}bn")(x)


def _relu6(x: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    import keras

    return keras.layers.ReLU(6.0, name=f"{name}activation")(x)


EfficientNetLite0 = partial(_efficientnet_lite, "EfficientNetLite0")
EfficientNetLite1 = partial(_efficientnet_lite, "EfficientNetLite1")
EfficientNetLite2 = partial(_efficientnet_lite, "EfficientNetLite2")
EfficientNetLite3 = partial(_efficientnet_lite, "EfficientNetLite3")
EfficientNetLite4 = partial(_efficientnet_lite, "EfficientNetLite4")
