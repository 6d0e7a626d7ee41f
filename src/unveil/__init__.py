"""unveil: from labelled faces to a classifier of apparent expression somebody dares to deploy.

The way, one verb for each artefact:

    unveil ingest SOURCE    faces.zip           under DVC, read in place
    unveil manifest         manifest.parquet    one row for each face
    unveil validate         validation.json     Great Expectations' verdict, Data Docs
    unveil pack             *.npz               arrays
    unveil train ARCH       model.keras         two stages, recorded in MLflow
    unveil evaluate ARCH    metrics.json        numbers with intervals
    unveil compare          comparison.md       the ranking, ties said
    unveil promote          alias champion      through the gate
"""

import os

# Else ONNX Runtime writes an identifier into the user's folder and, unless told before it is
# imported, tells Microsoft of every session (its Privacy.md, 1.32).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
