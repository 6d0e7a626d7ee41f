"""Bundles for tests: a network that finds the bright quarter of a face, written without Keras."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from unveil.common.files import write_json
from unveil.data import real_or_synthetic
from unveil.inference import checksum
from unveil.inference.bundle import Card
from unveil.inference.bundle_files import CARD, FILES

CLASSES = ("happy", "neutral", "sad", "surprise")


def made(
    folder: Path,
    *,
    size: int = 48,
    abstain_below: float | None = 0.0,
    sharpness: float = 12.0,
    **changes,
) -> Path:
    """Write a bundle whose classes are the quarters of a face, from top left to bottom right."""
    folder.mkdir(parents=True, exist_ok=True)
    content = network(size, sharpness=sharpness).SerializeToString()
    for name in FILES.values():
        (folder / name).write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    card = Card(
        format=1,
        classes=CLASSES,
        image_size=size,
        temperature=1.0,
        abstain_below=abstain_below,
        digests=dict.fromkeys(FILES.values(), digest),
        architecture="quarters",
        numbers={"images": 0, "macro_f1": {"value": 1.0, "low": 1.0, "high": 1.0}},
        lineage={"data": real_or_synthetic.REAL},
    )
    told(folder, {**asdict(card), **changes})
    return folder


def told(folder: Path, card: dict) -> None:
    """Write a card, and its digest beside it."""
    write_json(folder / CARD, card)
    checksum.write(folder / CARD)


def network(size: int = 48, *, sharpness: float = 12.0) -> onnx.ModelProto:
    """Make the network: the mean of each quarter, times a number, through a softmax."""
    half = size // 2
    constants = {
        "scale": np.array(sharpness / 255, np.float32),
        "shape": np.array([0, 4], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["faces"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["first"], ["means"], kernel_shape=[half, half], strides=[half, half]
        ),
        helper.make_node("Reshape", ["means", "shape"], ["flat"]),
        helper.make_node("Mul", ["flat", "scale"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    faces = helper.make_tensor_value_info("faces", TensorProto.UINT8, ["n", size, size, 1])
    shares = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 4])
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "quarters", [faces], [shares], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def quarter(place: int, size: int = 48) -> np.ndarray:
    """Draw a face ``(size, size)`` that is bright in one quarter."""
    face, half = np.zeros((size, size), np.uint8), size // 2
    row, column = divmod(place, 2)
    face[row * half : (row + 1) * half, column * half : (column + 1) * half] = 255
    return face
