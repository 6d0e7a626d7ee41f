"""Keras over TensorFlow or JAX, as KERAS_BACKEND says."""

import os
import sys
from pathlib import Path


def load() -> None:
    """Import Keras without the lines TensorFlow writes before any of its log levels holds."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Off by default on a processor without AVX-512, where it halves an epoch of the small networks.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import keras  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)
