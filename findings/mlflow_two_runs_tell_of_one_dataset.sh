#!/usr/bin/env bash
# MLflow 3.17.2: runs that log the same new dataset at once.
#
# Expected: `log_inputs` of several runs with one dataset (same name, same digest) succeeds for each; the dataset is kept
#   once.
# Seen: some end with "UNIQUE constraint failed: datasets.experiment_id, datasets.name, datasets.digest": each looks
#   for the dataset, does not find it, and adds it. Trainings of several architectures begin with the same data at the
#   same moment, so the first train-all on new data is where it happens. A second call of the one that failed succeeds.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 sqlalchemy==2.0.58 2> /dev/null
cd "$room"
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1
cat > tell.py <<'P'
import threading

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput

client = MlflowClient("sqlite:///mlflow.db")
experiment = client.create_experiment("faces")
runs = [client.create_run(experiment).info.run_id for _ in range(6)]
raised, again = [], 0

def tell(run, digest, start):
    global again
    inputs = [DatasetInput(Dataset("faces", digest, "local", "faces.zip"))]
    start.wait()
    try:
        client.log_inputs(run, datasets=inputs)
    except Exception as error:
        raised.append(str(error).splitlines()[0])
        client.log_inputs(run, datasets=inputs)
        again += 1

for digest in range(20):
    start = threading.Barrier(len(runs))
    threads = [threading.Thread(target=tell, args=(run, str(digest), start)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(f"{len(raised)} of {20 * len(runs)} calls raised, {again} succeeded when called again; the first: {raised[:1]}")
assert raised and all("UNIQUE constraint failed: datasets" in one for one in raised)
assert again == len(raised)
P
"$room/venv/bin/python" tell.py 2> log || { tail -3 log; exit 1; }
