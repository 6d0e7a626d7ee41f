"""Keras over TensorFlow or JAX, as KERAS_BACKEND says; without it, over the one that is here."""

import importlib.util
import os
import sys
from pathlib import Path

from unveil.common import memory
from unveil.common.errors import unknown

BACKENDS = ("tensorflow", "jax")


def load() -> None:
    """Import Keras without the lines TensorFlow writes before any of its log levels holds.

    Memory is kept from here on (`memory`), before any thread of TensorFlow has its own.
    Over JAX TensorFlow is not imported, also where it is installed. Raises ``UserError`` for a
    backend of another name.
    """
    chosen = _chosen()
    memory.keep()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Off by default without AVX-512, where a step of the small networks takes 1.5 to 1.7 times less
    # processor time with it.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import keras  # noqa: F401
            from keras.src.utils import module_utils
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    if chosen == "jax":
        # Keras would import it, where it is, to see whether an array is one of its own.
        module_utils.tensorflow._available = False


def _chosen() -> str:
    here = [name for name in BACKENDS if importlib.util.find_spec(name)]
    chosen = os.environ.setdefault("KERAS_BACKEND", here[0] if here else BACKENDS[0])
    if chosen not in BACKENDS:
        raise unknown("KERAS_BACKEND", chosen, BACKENDS)
    return chosen
