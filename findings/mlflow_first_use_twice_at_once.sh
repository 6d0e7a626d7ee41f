#!/usr/bin/env bash
# MLflow 3.17.2: several processes that are the first to use one SQLite store.
#
# Expected: one makes the tables, the others wait for it, as they do for any other write.
# Seen: each finds an empty database and runs the migrations. Of four at once most end in an error of Alembic ("expected
#   to match one row when updating ... in 'alembic_version'") or SQLAlchemy ("table ... already exists"), and in about
#   one try of three the database stays half made: from then on every client fails, in one process alone, too. A scheduler
#   that starts several trainings at once on a new store is all it takes.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 sqlalchemy==2.0.58 2> /dev/null
cd "$room"
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1
cat > first.py <<'P'
import sys, time
from mlflow import MlflowClient
time.sleep(max(0, float(sys.argv[1]) - time.time()))
print(len(MlflowClient("sqlite:///mlflow.db").search_experiments()))
P
failed=0 broken=0
for try in 1 2 3; do
  rm -f mlflow.db
  at=$(python3 -c 'import time; print(time.time() + 25)') # all have imported MLflow by then
  pids=() codes=()
  for n in 1 2 3 4; do "$room/venv/bin/python" first.py "$at" > "said-$n" 2>&1 & pids+=($!); done
  for pid in "${pids[@]}"; do code=0; wait "$pid" || code=$?; codes+=($code); [ $code -eq 0 ] || failed=$((failed + 1)); done
  after=0; "$room/venv/bin/python" first.py 0 > after 2>&1 || { after=$?; broken=$((broken + 1)); }
  echo "try $try: four at once end with ${codes[*]}, one alone afterwards with $after"
done
grep -hoE "alembic.util.exc.CommandError: Online migration|table [a-z_]+ already exists" said-* | sort | uniq -c
echo "failed: $failed of 12; database unusable afterwards: $broken of 3"
[ $failed -gt 0 ]
