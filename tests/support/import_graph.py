"""Which file and which package of unveil imports which, read from the source."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/unveil"
# Parameters are checked against the rules at load; a changed rule retrains nothing.
CHECKED_ONLY = ("config", "rules")


def imported(path: Path) -> frozenset[str]:
    """Name the modules that a file imports, and what it imports from them."""
    return _imported(path.read_text())


@cache
def _imported(source: str) -> frozenset[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def package(path: Path) -> str:
    """Name the package of a file; of the three loose files, their own name."""
    return path.relative_to(SOURCE).parts[0]


def own(path: Path) -> set[str]:
    """Name the packages of unveil that a file imports from, its own among them."""
    parts = (name.split(".") for name in imported(path) if name.startswith("unveil."))
    return {part[1] for part in parts if (SOURCE / part[1]).is_dir()}


def file_of(name: str) -> Path | None:
    """Give the file of an imported name, be it a module or something in one."""
    parts = name.split(".")[1:]
    while parts:
        path = SOURCE.joinpath(*parts)
        for found in (path.with_suffix(".py"), path / "__init__.py"):
            if found.is_file():
                return found
        parts.pop()
    return None


@cache
def graph() -> dict[Path, set[Path]]:
    """Give the files that each file imports."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        names = (name for name in imported(path) if name.startswith("unveil."))
        found[path] = {file for name in names if (file := file_of(name)) and file != path}
    return found


def closure(module: Path) -> set[str]:
    """Name the packages of all files that a module needs."""
    edges, found, waiting = graph(), set(), {module}
    while waiting:
        path = waiting.pop()
        found.add(path)
        checked = {one for one in edges[path] if (package(path), package(one)) == CHECKED_ONLY}
        waiting |= edges[path] - found - checked
    return {package(path) for path in found}
