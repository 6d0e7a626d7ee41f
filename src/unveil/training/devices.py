"""Where a training computes, and how exactly: all GPUs that are visible, or else the CPU.

Takes ``training.precision``, whose ``auto`` becomes one of the others; gives the number of devices
that share each batch. A GPU is hidden from a training by ``CUDA_VISIBLE_DEVICES``.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import keras

from unveil.common.errors import UserError
from unveil.config.params import Params
from unveil.config.schema import Precision

TENSOR_CORES = 8
"""The compute capability, its first number, from which on a GPU multiplies bfloat16 itself."""
CPUINFO = Path("/proc/cpuinfo")
MULTIPLIES = {"avx512_bf16", "amx_bf16"}
"""Instructions, with one of which a processor does, where TensorFlow uses oneDNN."""


@contextmanager
def spread(chosen: Precision) -> Iterator[int]:
    """Let what is built and trained in the block share its batches among all devices.

    Gives their number. Each has all weights and its part of each batch; JAX computes as one device
    would (`keras.distribution.DataParallel`), TensorFlow's mirrors each draw the same dropout.
    """
    with precisely(chosen), _shared():
        yield len(visible())


@contextmanager
def precisely(chosen: Precision) -> Iterator[None]:
    """Let what is built in the block multiply in this precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if chosen == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def precision(key: str, params: Params) -> Precision:
    """Say in which precision an architecture is trained here: ``auto`` asks what devices multiply.

    A processor is no help to depthwise convolutions: they stay float32 there.
    """
    asked = params.training.precision
    if asked != "auto":
        return asked
    on_gpu = any("gpu" in name for name in visible())
    depthwise = params.architectures[key].depthwise
    has_it = _gpus_have_it() if on_gpu else not depthwise and _processor_has_it()
    return "bfloat16" if has_it else "float32"


def visible() -> list[str]:
    """Name the devices that a training uses, as its backend does: ``gpu:0``, ``cpu:0``, ..."""
    if keras.backend.backend() == "jax":
        return list(keras.distribution.list_devices())
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name.split("device:")[-1].lower() for device in found]


def one_cpu() -> bool:
    """Say whether TensorFlow computes on a processor alone, and not as several devices."""
    return keras.backend.backend() == "tensorflow" and visible() == ["cpu:0"]


def described(chosen: Precision) -> dict[str, str]:
    """Say on what a training computes: backend with its version, devices, precision."""
    name = keras.backend.backend()
    return {
        "backend": f"{name} {importlib.import_module(name).__version__}",
        "devices": ", ".join(visible()),
        "precision": chosen,
    }


def require_shares(batch_size: int, devices: int) -> None:
    """Refuse a batch that the devices cannot share evenly."""
    if batch_size % devices:
        raise UserError(
            f"batch_size {batch_size} cannot be shared by {devices} devices; choose a multiple of "
            f"{devices}, or hide some with CUDA_VISIBLE_DEVICES"
        )


def synchronized(network: keras.Model) -> None:
    """Let batch-norm see the whole batch on all devices; JAX does that by itself."""
    if keras.backend.backend() == "tensorflow" and len(visible()) > 1:
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True


def _shared() -> AbstractContextManager[Any]:
    names = visible()
    if len(names) < 2:
        return nullcontext()
    if keras.backend.backend() == "jax":
        shared: AbstractContextManager[Any] = keras.distribution.DataParallel(devices=names).scope()
        return shared
    import tensorflow as tf

    mirrored: AbstractContextManager[Any] = tf.distribute.MirroredStrategy().scope()
    return mirrored


def _gpus_have_it() -> bool:
    if keras.backend.backend() == "jax":
        import jax

        gpus = [device for device in jax.devices() if device.platform == "gpu"]
        # Where another maker's GPU has none, we do not know.
        said = [str(getattr(gpu, "compute_capability", "")).split(".")[0] for gpu in gpus]
        return min(int(one) if one.isdigit() else 0 for one in said) >= TENSOR_CORES
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    known = [int(one.get("compute_capability", (0, 0))[0]) for one in details]
    return min(known) >= TENSOR_CORES


def _processor_has_it() -> bool:
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"
    if keras.backend.backend() != "tensorflow" or not onednn or not CPUINFO.exists():
        return False
    return not MULTIPLIES.isdisjoint(CPUINFO.read_text().split())
