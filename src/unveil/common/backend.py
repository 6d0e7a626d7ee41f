"""The Keras backend, TensorFlow or JAX: from KERAS_BACKEND, else the one that is installed."""

import importlib.util
import os
import sys
from pathlib import Path

from unveil.common import memory, streams
from unveil.common.errors import unknown_choice

BACKENDS = ("tensorflow", "jax")


def load() -> None:
    """Import Keras and silence TensorFlow's start-up messages.

    First sets the allocator options (`memory`), before TensorFlow starts any thread. With the JAX
    backend TensorFlow is not imported, even if it is installed. Raises ``UserError`` for an
    unknown backend.
    """
    chosen = _choose_backend()
    memory.keep_freed_memory()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Off by default without AVX-512, although it makes a step of the small networks there take 1.5
    # to 1.7 times less processor time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    streams.open_closed()
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as devnull:
        os.dup2(devnull.fileno(), 2)
        try:
            import keras  # noqa: F401
            from keras.src.utils import module_utils
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    if chosen == "jax":
        # Keras would otherwise import TensorFlow to test whether an array is a TensorFlow tensor.
        module_utils.tensorflow._available = False


def _choose_backend() -> str:
    here = [name for name in BACKENDS if importlib.util.find_spec(name)]
    chosen = os.environ.setdefault("KERAS_BACKEND", here[0] if here else BACKENDS[0])
    if chosen not in BACKENDS:
        raise unknown_choice("KERAS_BACKEND", chosen, BACKENDS)
    return chosen
