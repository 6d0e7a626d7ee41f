#!/usr/bin/env bash
# DVC 3.67.1: `--wait-for-lock` waits for one of DVC's two locks only.
#
# Expected: `dvc --wait-for-lock repro B` waits while another process runs a stage of the same project.
# Seen: where the running stage writes what B reads, it ends at once with exit code 255 and "is busy, it is being blocked
#   by": the option is of .dvc/tmp/lock, and what stages read and write is guarded by .dvc/tmp/rwlock, which nobody
#   waits for. Two schedulers in one checkout need a lock of their own around DVC.
set -euo pipefail
room=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null || true; wait; rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1 2> /dev/null
export PATH=$room/venv/bin:$PATH DVC_NO_ANALYTICS=1
mkdir "$room/project" && cd "$room/project"
dvc init --quiet --no-scm
cat > dvc.yaml <<'Y'
stages:
  faces:
    cmd: touch begun && sleep 25 && echo faces > faces.txt
    outs: [faces.txt]
  train:
    cmd: cp faces.txt model.txt
    deps: [faces.txt]
    outs: [model.txt]
Y
dvc repro --quiet faces > first 2>&1 &
first=$!
for _ in $(seq 300); do [ -e begun ] && break; sleep 0.1; done
[ -e begun ]
code=0
dvc --wait-for-lock repro --single-item train > second 2>&1 || code=$?
echo "the second, with --wait-for-lock: exit $code: $(grep -m1 'is busy' second)"
kill -0 $first && echo "the first still runs"
[ $code -ne 0 ]
grep -q "is busy, it is being blocked by" second
wait $first
dvc --wait-for-lock repro --single-item train --quiet && echo "afterwards: works"
