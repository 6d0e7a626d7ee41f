"""A change of params.yaml as a unified diff; comments and layout of the file are kept.

Only the text of the changed values is replaced, at the positions that the YAML parser reports. An
entry that shares its values by an anchor gets values of its own first (`yaml_anchors`).
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from unveil.experiments.sweep import yaml_anchors
from unveil.experiments.sweep.recipe_values import Value

Path = tuple[str | int, ...]
_WORD = re.compile(r"[A-Za-z_][\w.]*")


def edited(text: str, recipe: str, key: str, values: Mapping[str, Value]) -> str:
    """Return the text of params.yaml with other values for an architecture in a recipe."""
    shared = {
        _path(recipe, key, name)[: 3 if name.startswith("training.") else 4] for name in values
    }
    for path in sorted(shared):
        text = yaml_anchors.written_out(text, path)
    for name, value in values.items():
        text = _with_value(text, _path(recipe, key, name), value)
    return text


def unified(before: str, after: str, name: str) -> str:
    """Return the diff for ``git apply`` and ``patch -p1``; empty if nothing changed."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    # Not `difflib.unified_diff`, which ignores frequent lines and so shows a copy as a move.
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    hunks = ["".join(_hunk(group, old, new)) for group in matcher.get_grouped_opcodes()]
    return "".join([f"--- a/{name}\n+++ b/{name}\n", *hunks]) if hunks else ""


def also_changed(before: str, after: str, recipe: str, key: str) -> list[str]:
    """Name what else a change affects: recipes as a whole, and single architectures."""
    old, new = (yaml.safe_load(text)["recipes"] for text in (before, after))
    found = []
    for name in new:
        if old[name]["training"] != new[name]["training"]:
            found.append(f"all networks of the recipe {name}")
        schedules = new[name]["schedules"]
        found += [
            f"{other} in {name}"
            for other in schedules
            if (name, other) != (recipe, key) and old[name]["schedules"][other] != schedules[other]
        ]
    return found


def _hunk(group: Sequence[Any], old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    (_, first, _, second, _), (_, _, first_end, _, second_end) = group[0], group[-1]
    yield f"@@ -{_lines(first, first_end)} +{_lines(second, second_end)} @@\n"
    for kind, start, end, new_start, new_end in group:
        if kind == "equal":
            yield from (_line(" ", line) for line in old[start:end])
        else:
            yield from (_line("-", line) for line in old[start:end])
            yield from (_line("+", line) for line in new[new_start:new_end])


def _lines(start: int, end: int) -> str:
    return f"{start + 1 if end > start else start},{end - start}"


def _line(sign: str, line: str) -> str:
    end = "" if line.endswith("\n") else "\n\\ No newline at end of file\n"
    return f"{sign}{line}{end}"


def _path(recipe: str, key: str, name: str) -> Path:
    group, *rest = name.split(".")
    if group == "training":
        return ("recipes", recipe, group, *rest)
    below = ("recipes", recipe, "schedules", key)
    if group == "network":
        return (*below, group, *rest)
    return (*below, "stages", int(group.removeprefix("stage")) - 1, *rest)


def _with_value(text: str, path: Path, value: Value) -> str:
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for place, step in enumerate(path):
        child = _child(node, step)
        if child is None:
            return _inserted(text, node, str(step), _nested(path[place + 1 :], value))
        node = child
    return text[: node.start_mark.index] + _scalar(value) + text[node.end_mark.index :]


def _child(node: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return node.value[step]
    return next((value for key, value in node.value if key.value == step), None)


def _inserted(text: str, mapping: Any, name: str, content: str) -> str:
    if mapping.flow_style:
        end = mapping.end_mark.index - 1
        comma = ", " if mapping.value else ""
        return f"{text[:end].rstrip()}{comma}{name}: {content}{text[end:]}"
    first = mapping.value[0][0].start_mark
    return f"{text[: first.index]}{name}: {content}\n{' ' * first.column}{text[first.index :]}"


def _nested(path: Sequence[str | int], value: Value) -> str:
    if not path:
        return _scalar(value)
    return f"{{{path[0]}: {_nested(path[1:], value)}}}"


def _scalar(value: Value) -> str:
    if isinstance(value, str):
        plain = _WORD.fullmatch(value) and yaml.safe_load(value) == value
        return value if plain else json.dumps(value)
    if not isinstance(value, float):
        return json.dumps(value)
    # YAML 1.1 takes 1e-05 for text.
    return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
