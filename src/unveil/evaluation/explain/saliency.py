"""Saliency maps: Grad-CAM, LayerCAM and occlusion.

Faces are ``(n, size, size, 1) uint8``, target classes ``(n,)`` indices, maps
``(n, size, size) float32``: higher values are stronger evidence for the target class.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unveil.common.errors import UserError

Faces = NDArray[np.uint8]
Indices = NDArray[np.int64]
Maps = NDArray[np.float32]
Predict = Callable[[Faces], NDArray[np.float32]]
"""Maps faces ``(n, size, size, 1)`` to probabilities ``(n, classes)``."""

MIN_CELLS = 6
"""Minimum side of a feature map. Deeper ones hardly localize: VGG16 ends in 1 x 1 cell."""

BATCH = 32


def split_network(network: Any) -> tuple[Any, Any]:
    """Split a network at its deepest feature map with at least ``MIN_CELLS`` cells per side.

    The second part ends at the input of the layer ``probabilities``. Feature maps bypassed by a
    shortcut, as inside residual blocks, are not candidates. Raises ``UserError`` if there is none.
    """
    import keras

    end = network.get_layer("probabilities").input
    until = network.layers.index(network.get_layer("features"))
    # Padding shifts the cells of a map.
    pads = keras.layers.ZeroPadding2D
    maps = [one.output for one in network.layers[1:until] if not isinstance(one, pads)]
    for tensor in reversed(maps):
        if len(tensor.shape) == 4 and min(tensor.shape[1:3]) >= MIN_CELLS:
            try:
                above = keras.Model(tensor, end)
            except ValueError:
                continue
            return keras.Model(network.input, tensor), above
    raise UserError(f"no feature map before `features` has {MIN_CELLS} cells per side")


def activation_maps(network: Any, faces: Faces, targets: Indices) -> dict[str, Maps]:
    """Return the maps ``gradcam`` and ``layercam``; values are at least 0.

    Grad-CAM weights each channel by the mean gradient of the class's logit, before the softmax
    (Selvaraju et al., ICCV 2017, sec. 3). LayerCAM weights each cell by its own positive gradient
    (Jiang et al., IEEE TIP 30, 2021, sec. III-B).
    """
    below, above = split_network(network)
    parts = [slice(start, start + BATCH) for start in range(0, len(faces), BATCH)]
    end = network.get_layer("probabilities")
    maps = [
        _cell_maps(below(faces[part], training=False), above, end, targets[part]) for part in parts
    ]
    return {
        name: _resized(np.concatenate([heat[name] for heat in maps]), faces.shape[1])
        for name in maps[0]
    }


def _cell_maps(
    features: Any, above: Any, end: Any, targets: Indices
) -> dict[str, NDArray[np.float32]]:
    from keras import ops

    wanted = ops.one_hot(targets, end.units)

    def score(at: Any) -> Any:
        logits = ops.matmul(above(at, training=False), end.kernel) + end.bias
        return ops.sum(logits * wanted)

    slope = _gradient(score, features)
    weights = {
        "gradcam": ops.mean(slope, axis=(1, 2), keepdims=True),
        "layercam": ops.relu(slope),
    }
    maps = {
        name: ops.relu(ops.sum(weight * features, axis=-1, keepdims=True))
        for name, weight in weights.items()
    }
    return {name: np.asarray(ops.convert_to_numpy(heat)) for name, heat in maps.items()}


def _gradient(score: Callable[[Any], Any], at: Any) -> Any:
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(score)(at)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(at)
        value = score(at)
    return tape.gradient(value, at)


def _resized(heat: NDArray[np.float32], size: int) -> Maps:
    from keras import ops

    return np.asarray(ops.convert_to_numpy(ops.image.resize(heat, (size, size)))[..., 0])


def occlusion(predict: Predict, faces: Faces, targets: Indices) -> Maps:
    """Return the drop in the class's probability when a square over the pixel is occluded.

    The square is a quarter of the face wide, moves by half its width, and is filled with the face's
    mean; a pixel's value is the mean over the squares that cover it (Zeiler and Fergus, ECCV 2014,
    sec. 4.2). Negative values are evidence against the class.
    """
    squares = list(_squares(faces.shape[1]))
    hidden = np.tile(faces, (len(squares), 1, 1, 1, 1))
    for copy, square in zip(hidden, squares, strict=True):
        copy[:, *square] = faces.mean((1, 2, 3))[:, None, None, None]
    shares = predict(np.concatenate([faces, *hidden])).reshape(len(squares) + 1, len(faces), -1)
    before, *after = shares[:, np.arange(len(faces)), targets]
    fall = np.zeros(faces.shape[:3], np.float32)
    covers = np.zeros(faces.shape[1:3], np.float32)
    for square, covered in zip(squares, after, strict=True):
        fall[:, *square] += (before - covered)[:, None, None]
        covers[square] += 1
    fall /= np.maximum(covers, 1)
    return fall


def _squares(size: int) -> Iterator[tuple[slice, slice]]:
    side = size // 4
    starts = range(0, size - side + 1, side // 2)
    for top in starts:
        for left in starts:
            yield slice(top, top + side), slice(left, left + side)
