"""A strict YAML parser for values that DVC, JSON and this project read in the same way.

Returns mappings, lists, text, finite numbers, booleans and null. PyYAML reads YAML 1.1 and keeps
the last of two equal keys; DVC reads YAML 1.2 and refuses them. Values that the two versions read
differently (``010``, ``1_000``, ``1:30``, ``yes``) are refused with the name of their key.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from unveil.common.errors import UserError

_TAG = "tag:yaml.org,2002:"
_PLAIN = {
    "int": (re.compile(r"[-+]?(0|[1-9][0-9]*)"), "write plain decimal digits"),
    "float": (re.compile(r"[-+]?[0-9.]+([eE][-+][0-9]+)?"), "write it as 0.001 or 1.0e-3"),
    "bool": (re.compile("true|false", re.IGNORECASE), "write true or false, or quote a text"),
}
"""For each type, the spelling that YAML 1.1 and 1.2 read in the same way, and the remedy."""


def parse(text: str, where: str) -> Any:
    """Parse one YAML document; raises ``UserError`` naming the key, the value and the remedy."""
    loader: Any = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        for fault in _faults(root, ()) if root else ():
            raise UserError(f"{where}: {fault}")
        return loader.construct_document(root) if root else None
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not YAML: {str(error).splitlines()[0][:160]}") from None
    finally:
        if loader:
            loader.dispose()


def _faults(node: Any, path: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        yield from _key_faults(node, path)
        for key, value in node.value:
            yield from _faults(value, (*path, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _faults(value, (*path, str(index)))
    elif fault := _value_fault(node.tag.removeprefix(_TAG), node.value):
        yield f"{_line(node, path)}: {fault}"


def _key_faults(node: Any, path: tuple[str, ...]) -> Iterator[str]:
    seen = set()
    for key, _ in node.value:
        if key.tag == f"{_TAG}merge":
            continue
        if key.tag != f"{_TAG}str":
            yield f"{_line(key, path)}: the key {str(key.value)!r} is not a string; quote it"
        if key.value in seen:
            yield f"{_line(key, (*path, key.value))}: duplicate key; keep one"
        seen.add(key.value)


def _value_fault(kind: str, value: str) -> str | None:
    if kind in ("str", "null"):
        return None
    if kind not in _PLAIN:
        return f"{value!r} is a {kind}, which is not JSON serializable; quote it"
    if kind == "float" and not math.isfinite(_number(value)):
        return f"{value} is not JSON compliant; write a finite number"
    allowed, remedy = _PLAIN[kind]
    return None if allowed.fullmatch(value) else f"{value} is read differently by DVC; {remedy}"


def _number(value: str) -> float:
    try:
        # YAML spells .inf and .nan with a point, Python without.
        return float(re.sub(r"\.(?=inf|nan)", "", value.lower()))
    except ValueError:  # such as 1:30.5, a number only in YAML 1.1
        return 0.0


def _line(node: Any, path: tuple[str, ...]) -> str:
    return f"{'.'.join(path) or 'the whole file'} (line {node.start_mark.line + 1})"
