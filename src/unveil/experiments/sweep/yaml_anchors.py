"""Write out a YAML mapping that is shared by an anchor and aliases, so that it can change alone.

``cnn4: *cnn`` becomes a copy of what ``&cnn`` names. Where the anchor itself is to change, the
first alias takes the anchor over, with a copy. A sharing of another form is left as it is.
"""

import re
from collections.abc import Sequence
from typing import Any

import yaml

_SHARED = r"(?P<kind>[*&])(?P<name>[\w-]+)[ \t]*(?:#.*)?"
"""What follows the key of a mapping in block style that is shared; then the line ends."""
_ALIAS_LINE = r"[ ]*[\w-]+:[ \t]*\*[\w-]+[ \t]*(?:#.*)?"


def written_out(text: str, path: Sequence[str | int]) -> str:
    """Return the text with a mapping of its own at ``path``; unchanged if it is not shared."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for step in path:
        key, node = next(pair for pair in node.value if pair[0].value == step)
    rest = text[key.end_mark.index : _line_end(text, key.end_mark.index)]
    found = re.fullmatch(rf":[ \t]*{_SHARED}", rest)
    if found is None or node.flow_style:
        return text
    place = key.end_mark.index + found.start("kind")
    if found["kind"] == "*":
        return _copied(text, place, found["name"], node, anchor="")
    aliases = _aliases(text, found["name"])
    if not aliases or not re.fullmatch(_ALIAS_LINE, _line(text, aliases[0])):
        return text
    # The alias is behind the anchor, so that the place of the anchor stays valid.
    text = _copied(text, aliases[0], found["name"], node, anchor=f"&{found['name']}")
    return text[:place].rstrip() + text[place + 1 + len(found["name"]) :]


def _copied(text: str, place: int, name: str, node: Any, *, anchor: str) -> str:
    """Replace the alias at ``place`` by a copy of its mapping, which may get an anchor."""
    end = _line_end(text, place)
    line = text[place + 1 + len(name) : end]
    start = text.rfind("\n", 0, place) + 1
    indent = len(text[start:place]) - len(text[start:place].lstrip())
    before = text[:place] if anchor else text[:place].rstrip()
    return f"{before}{anchor}{line}\n{_block(text, node, indent + 2)}{text[end:]}"


def _block(text: str, node: Any, column: int) -> str:
    """Return the lines of a mapping in block style, moved to a column, without anchors."""
    first = node.value[0][0].start_mark
    lines = text[first.index - first.column : _line_end(text, _end(node))].split("\n")
    moved = [" " * column + line[first.column :] if line.strip() else line for line in lines]
    return re.sub(r"(?m)(?<=[:-] )&[\w-]+ ?", "", "\n".join(moved))


def _end(node: Any) -> int:
    """Return where the last value of a node ends; a block ends where the next key begins."""
    while not isinstance(node, yaml.ScalarNode) and not node.flow_style:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return int(node.end_mark.index)


def _aliases(text: str, name: str) -> list[int]:
    events: list[Any] = list(yaml.parse(text, Loader=yaml.SafeLoader))
    aliases: list[Any] = [event for event in events if isinstance(event, yaml.AliasEvent)]
    return [event.start_mark.index for event in aliases if event.anchor == name]


def _line_end(text: str, place: int) -> int:
    found = text.find("\n", place)
    return len(text) if found < 0 else found


def _line(text: str, place: int) -> str:
    return text[text.rfind("\n", 0, place) + 1 : _line_end(text, place)]
