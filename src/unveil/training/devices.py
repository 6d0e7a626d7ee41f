"""Devices and precision of a training: all visible GPUs, otherwise the CPU.

Resolves ``training.precision: auto`` to ``bfloat16`` or ``float32`` and splits each batch among
the devices. Hide GPUs with ``CUDA_VISIBLE_DEVICES``.
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

BFLOAT16_CAPABILITY = 8
"""The lowest major compute capability of GPUs with native bfloat16 multiplication."""
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}
"""CPU flags, any one of which means native bfloat16 multiplication under oneDNN."""


@contextmanager
def distribute(chosen: Precision) -> Iterator[int]:
    """Data parallelism: models built and trained in the block split batches among all devices.

    Yields the number of devices. Each has all weights and its part of each batch. JAX computes
    what one device would (`keras.distribution.DataParallel`); with TensorFlow's
    ``MirroredStrategy`` every replica draws the same dropout.
    """
    with dtype_policy(chosen), _distribution_scope():
        yield len(visible_devices())


@contextmanager
def dtype_policy(chosen: Precision) -> Iterator[None]:
    """Set Keras's dtype policy for models built in the block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if chosen == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def precision(key: str, params: Params) -> Precision:
    """Return the precision an architecture is trained in; ``auto`` checks what devices support.

    On a CPU, bfloat16 does not speed up depthwise convolutions: such architectures stay float32.
    """
    requested = params.training.precision
    if requested != "auto":
        return requested
    on_gpu = any("gpu" in name for name in visible_devices())
    depthwise = params.architectures[key].depthwise
    supported = _gpus_support_bfloat16() if on_gpu else not depthwise and _cpu_supports_bfloat16()
    return "bfloat16" if supported else "float32"


def visible_devices() -> list[str]:
    """List the devices used for training, as the backend names them: ``gpu:0``, ``cpu:0``, ..."""
    if keras.backend.backend() == "jax":
        return list(keras.distribution.list_devices())
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name.split("device:")[-1].lower() for device in found]


def is_single_cpu() -> bool:
    """Whether the backend is TensorFlow on a single CPU device."""
    return keras.backend.backend() == "tensorflow" and visible_devices() == ["cpu:0"]


def described(chosen: Precision) -> dict[str, str]:
    """Return what a training runs on: backend with its version, devices, precision."""
    name = keras.backend.backend()
    return {
        "backend": f"{name} {importlib.import_module(name).__version__}",
        "devices": ", ".join(visible_devices()),
        "precision": chosen,
    }


def require_even_split(batch_size: int, devices: int) -> None:
    """Raise ``UserError`` if the batch cannot be split evenly among the devices."""
    if batch_size % devices:
        raise UserError(
            f"batch_size {batch_size} cannot be split among {devices} devices; choose a multiple "
            f"of {devices}, or hide devices with CUDA_VISIBLE_DEVICES"
        )


def synchronize_batch_norm(network: keras.Model) -> None:
    """Compute batch-norm statistics over the whole batch on all devices; JAX does so anyway."""
    if keras.backend.backend() == "tensorflow" and len(visible_devices()) > 1:
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True


def _distribution_scope() -> AbstractContextManager[Any]:
    names = visible_devices()
    if len(names) < 2:
        return nullcontext()
    if keras.backend.backend() == "jax":
        parallel: AbstractContextManager[Any] = keras.distribution.DataParallel(
            devices=names
        ).scope()
        return parallel
    import tensorflow as tf

    mirrored: AbstractContextManager[Any] = tf.distribute.MirroredStrategy().scope()
    return mirrored


def _gpus_support_bfloat16() -> bool:
    if keras.backend.backend() == "jax":
        import jax

        gpus = [device for device in jax.devices() if device.platform == "gpu"]
        # GPUs of other vendors report no compute capability: treated as unsupported.
        majors = [str(getattr(gpu, "compute_capability", "")).split(".")[0] for gpu in gpus]
        return min(int(one) if one.isdigit() else 0 for one in majors) >= BFLOAT16_CAPABILITY
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    known = [int(one.get("compute_capability", (0, 0))[0]) for one in details]
    return min(known) >= BFLOAT16_CAPABILITY


def _cpu_supports_bfloat16() -> bool:
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"
    if keras.backend.backend() != "tensorflow" or not onednn or not CPUINFO.exists():
        return False
    return not BFLOAT16_FLAGS.isdisjoint(CPUINFO.read_text().split())
