"""Where an answer rests: class activation maps, and what covering each part of a face changes.

Faces are ``(n, size, size, 1) uint8``, the class asked about ``(n,)`` indices, maps
``(n, size, size) float32``: the higher, the more the pixel speaks for that class.
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
"""Faces ``(n, size, size, 1)`` to probabilities ``(n, classes)``."""

CELLS = 6
"""Of a feature map's side. Deeper ones say next to nothing of places: VGG16 ends in 1 x 1 cell."""

BATCH = 32


def halves(network: Any) -> tuple[Any, Any]:
    """Part a network at its deepest feature map of ``CELLS`` a side: up to it, and on from it.

    The second half ends in what the layer ``probabilities`` takes. A map that a shortcut leads
    past, as inside the blocks of a residual network, is no place to part.
    """
    import keras

    end = network.get_layer("probabilities").input
    until = network.layers.index(network.get_layer("features"))
    # A padded map's cells lie elsewhere than they seem.
    pads = keras.layers.ZeroPadding2D
    maps = [one.output for one in network.layers[1:until] if not isinstance(one, pads)]
    for tensor in reversed(maps):
        if len(tensor.shape) == 4 and min(tensor.shape[1:3]) >= CELLS:
            try:
                above = keras.Model(tensor, end)
            except ValueError:
                continue
            return keras.Model(network.input, tensor), above
    raise UserError(f"no feature map before `features` has {CELLS} cells a side")


def activations(network: Any, faces: Faces, asked: Indices) -> dict[str, Maps]:
    """Give the maps of Grad-CAM and of LayerCAM by these names, at least 0.

    In ``gradcam`` each channel counts by the mean slope of the class's logit, before the softmax
    (Selvaraju et al., ICCV 2017, sec. 3); in ``layercam`` each cell of it by its own slope, where
    that is above 0 (Jiang et al., IEEE TIP 30, 2021, sec. III-B).
    """
    below, above = halves(network)
    parts = [slice(start, start + BATCH) for start in range(0, len(faces), BATCH)]
    end = network.get_layer("probabilities")
    heats = [_heats(below(faces[part], training=False), above, end, asked[part]) for part in parts]
    return {
        name: _resized(np.concatenate([heat[name] for heat in heats]), faces.shape[1])
        for name in heats[0]
    }


def _heats(features: Any, above: Any, end: Any, asked: Indices) -> dict[str, NDArray[np.float32]]:
    from keras import ops

    wanted = ops.one_hot(asked, end.units)

    def score(at: Any) -> Any:
        logits = ops.matmul(above(at, training=False), end.kernel) + end.bias
        return ops.sum(logits * wanted)

    slope = _gradient(score, features)
    weights = {
        "gradcam": ops.mean(slope, axis=(1, 2), keepdims=True),
        "layercam": ops.relu(slope),
    }
    heats = {
        name: ops.relu(ops.sum(weight * features, axis=-1, keepdims=True))
        for name, weight in weights.items()
    }
    return {name: np.asarray(ops.convert_to_numpy(heat)) for name, heat in heats.items()}


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


def occlusion(predict: Predict, faces: Faces, asked: Indices) -> Maps:
    """Give by how much the class's probability falls when a square over the pixel is covered.

    A quarter of the face wide, moved by half of that, and filled with the face's mean; a pixel's
    value is the mean over the squares that cover it (Zeiler and Fergus, ECCV 2014, sec. 4.2).
    Below 0 the square had spoken against the class.
    """
    squares = list(_squares(faces.shape[1]))
    hidden = np.tile(faces, (len(squares), 1, 1, 1, 1))
    for copy, square in zip(hidden, squares, strict=True):
        copy[:, *square] = faces.mean((1, 2, 3))[:, None, None, None]
    shares = predict(np.concatenate([faces, *hidden])).reshape(len(squares) + 1, len(faces), -1)
    before, *after = shares[:, np.arange(len(faces)), asked]
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
