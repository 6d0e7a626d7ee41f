#!/usr/bin/env bash
# DVC 3.67.1 with ruamel.yaml.clib 0.2.15: `dvc exp run --set-param` can write a params.yaml that DVC itself cannot read.
#
# Expected: one value changes, and all others mean what they meant; the file was valid YAML before.
# Seen: the whole file is written again, without the quotes of other values. A quoted string with a colon inside braces,
#   {weights: "package:vgg16"}, becomes {weights: package:vgg16}. DVC reads it with ruamel.yaml: without its optional C library
#   that works; where another package has installed it, DVC stops with "YAML file structure is corrupted", exit code 255.
#   The same value on a line of its own, in a block mapping, works with both.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check dvc==3.67.1 \
  ruamel.yaml==0.19.1 ruamel.yaml.clib==0.2.15 2> /dev/null
export PATH=$room/venv/bin:$PATH DVC_NO_ANALYTICS=1
mkdir "$room/project" && cd "$room/project"
git init --quiet && git config user.email a@example.org && git config user.name a
dvc init --quiet
cat > dvc.yaml <<'Y'
stages:
  train:
    cmd: cp params.yaml model.txt
    params: [rate]
    outs: [model.txt]
Y
attempt() {
  printf 'rate: 0.1\n%s\n' "$1" > params.yaml
  git add --all && git commit --quiet --allow-empty -m "$2"
  code=0
  dvc exp run --queue --set-param rate=0.2 train > "$room/said" 2>&1 || code=$?
  git checkout --quiet -- .
  echo "$2: exit $code $(grep -o 'YAML file structure is corrupted' "$room/said" || true)"
}
attempt 'vgg16: {weights: "package:vgg16"}' 'in braces'
[ "$code" = 255 ]
grep -q "YAML file structure is corrupted" "$room/said"
attempt $'vgg16:\n  weights: package:vgg16' 'on a line of its own'
[ "$code" = 0 ]
