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
"""

import os

# Otherwise ONNX Runtime writes an identifier into the user's home folder and, unless this is set
# before the import, reports every session to Microsoft (its Privacy.md, 1.32).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
