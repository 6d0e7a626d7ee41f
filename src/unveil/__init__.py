"""unveil: from labelled faces to a deployed classifier of apparent expression.

One command for each artifact, in the order of the pipeline:

    unveil ingest SOURCE    faces.zip           the images, tracked by DVC
    unveil manifest         manifest.parquet    one row per face
    unveil validate         validation.json     results of Great Expectations, Data Docs
    unveil pack             *.npz               arrays, one file per split
    unveil train ARCH       model.keras         trained in two stages, recorded in MLflow
    unveil evaluate ARCH    metrics.json        metrics with 95 % confidence intervals
    unveil compare          comparison.md       the leaderboard; ties are marked
    unveil promote          alias champion      if all promotion checks pass

From Python:

    import unveil
    model = unveil.load("starter")
    result = model("photo.jpg")
    result[0].emotion, result[0].probabilities, result[0].box
    unveil.train("faces/", recipe="modest")     what `make train-all` does, in a checkout
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unveil.common.errors import UserError
    from unveil.experiments.main_job import Training, train
    from unveil.inference.model import Model, load
    from unveil.inference.results import Face, Result

__all__ = ["Face", "Model", "Result", "Training", "UserError", "load", "train"]

# Otherwise ONNX Runtime writes an identifier into the user's home folder and, unless this is set
# before the import, reports every session to Microsoft (its Privacy.md, 1.32).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_HOMES = {
    "Face": "unveil.inference.results",
    "Model": "unveil.inference.model",
    "Result": "unveil.inference.results",
    "Training": "unveil.experiments.main_job",
    "UserError": "unveil.common.errors",
    "load": "unveil.inference.model",
    "train": "unveil.experiments.main_job",
}


def __getattr__(name: str) -> Any:
    # Imported at first use: `import unveil` takes milliseconds, and every command begins with it.
    if name not in _HOMES:
        raise AttributeError(f"module 'unveil' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
