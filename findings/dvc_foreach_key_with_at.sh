#!/usr/bin/env bash
# DVC 3.67.1: one key with "@" in one `foreach` breaks every other stage of the file, too.
#
# Expected: `dvc.yaml` is valid YAML, so the key is refused by name, or only its own stage cannot be run.
# Seen: `dvc repro hello` of a stage that has nothing to do with it, `dvc repro`, `dvc status`, `dvc push` and
#   `dvc dag` all end with "Stage 'train@vgg@16' not found inside 'dvc.yaml' file". Only --single-item of a
#   sibling still works, so a project that always names its stages notices late.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1 2> /dev/null
export PATH=$room/venv/bin:$PATH DVC_NO_ANALYTICS=1
mkdir "$room/project" && cd "$room/project"
dvc init --quiet --no-scm
stages() { # KEY...
  printf 'stages:\n  hello:\n    cmd: echo hello > hello.txt\n    outs: [hello.txt]\n  train:\n    foreach:\n' > dvc.yaml
  printf '      "%s": {}\n' "$@" >> dvc.yaml
  printf '    do:\n      cmd: echo ${key} > "${key}.txt"\n      outs: ["${key}.txt"]\n' >> dvc.yaml
}
stages cnn vgg16
dvc repro --quiet hello train@cnn
stages cnn vgg@16
for command in "dvc repro hello" "dvc repro" "dvc status" "dvc push" "dvc dag"; do
  code=0
  said=$($command 2>&1) || code=$?
  echo "$command: exit $code: $(tail -1 <<< "$said")"
  [ $code -ne 0 ]
  grep -q "Stage 'train@vgg@16' not found inside 'dvc.yaml' file" <<< "$said"
done
dvc repro --quiet --single-item train@cnn && echo "dvc repro --single-item train@cnn: works"
