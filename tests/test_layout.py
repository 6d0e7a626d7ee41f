"""The shape of the source: imports between packages, one door per tool, sizes of functions."""

import ast
import re
import subprocess
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from tests.support.import_graph import ROOT, SOURCE, graph, imported, own, package

FLOORS = (
    ("common",),
    ("networks", "rendering", "rules", "storage"),
    ("config",),
    ("dataset",),
    ("data",),
    ("inference", "quality", "training"),
    ("evaluation", "serving"),
    ("benchmarks", "registry"),
    ("experiments", "export", "privacy", "reporting"),
    ("promotion",),
    ("cli",),
)
"""The packages of src/unveil, lowest first: each imports only from floors below its own."""
LOOSE = {"__init__.py", "__main__.py", "client.py"}
DOORS = {
    "mlflow": "registry",
    "great_expectations": "quality",
    "boto3": "storage",
    "botocore": "storage",
    "fastapi": "serving",
    "uvicorn": "serving",
    "prometheus_client": "serving",
    "cleanlab": "quality",
    "av": "inference",
    "onnx": "export",
    "fairlearn": "evaluation",
    "optuna": "experiments",
}
"""The one package that imports a tool; Prefect is for flows/ alone."""
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_ARGUMENTS = 250, 50, 5
MAX_OPTIONS = 8
"""The most options of a command, besides its argument."""
SUFFIXES = {".py", ".js", ".css", ".html", ".j2", ".md"}
LEARNING = (
    *("keras", "tensorflow", "unveil.networks", "unveil.training"),
    *("unveil.evaluation.evaluate", "unveil.evaluation.explain", "unveil.export"),
)
"""Prefixes of modules that import Keras; a flow runs them in processes of their own."""
TOP_LEVEL = {"flows", "src", "dvc.yaml", "params.yaml", "data", "mlflow", "tests"}
TOP_LEVEL |= {"pyproject.toml", "README.md", "deploy", "examples"}


def tracked() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split() if (ROOT / name).is_file()]


def upward(sources: dict[str, list[Path]], floors: tuple[tuple[str, ...], ...]) -> list[str]:
    """Name the files that import from their own floor, but for their package, or from above."""
    floor = {name: number for number, names in enumerate(floors) for name in names}
    return [
        f"{path} imports {other}"
        for name, paths in sources.items()
        for path in paths
        for other in sorted(own(path) - {name})
        if floor[other] >= floor[name]
    ]


def sources() -> dict[str, list[Path]]:
    names = [name for names in FLOORS for name in names]
    return {name: sorted((SOURCE / name).rglob("*.py")) for name in names}


def cycles(edges: dict[Path, set[Path]]) -> list[list[Path]]:
    """Give a cycle of imports, if there is one."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return [error.args[1]]
    return []


def long_files(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.read_text().count("\n") > MAX_FILE_LINES]


def functions(paths: Iterable[Path]) -> list[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [
        (path, node)
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def long_functions(paths: Iterable[Path]) -> list[str]:
    return [
        f"{path}:{function.lineno} {function.name}"
        for path, function in functions(paths)
        if function.end_lineno - function.lineno + 1 > MAX_FUNCTION_LINES
    ]


def text_files() -> list[Path]:
    """List the files of src/unveil and flows/ that are written by hand."""
    written = [path for path in tracked() if path.suffix in SUFFIXES and "vendor" not in path.parts]
    return [
        path for path in written if path.is_relative_to(SOURCE) or path.parent == ROOT / "flows"
    ]


def python_files() -> list[Path]:
    return [path for path in text_files() if path.suffix == ".py"]


def test_nothing_is_imported_upward_or_in_a_cycle_and_nothing_is_too_long(record_property):
    # What a package's own __init__.py re-exports is no cycle.
    edges = {
        path: {one for one in needed if one.name != "__init__.py"}
        for path, needed in graph().items()
    }
    found = {
        "upward imports": upward(sources(), FLOORS),
        "import cycles": cycles(edges),
        f"files over {MAX_FILE_LINES} lines": long_files(text_files()),
        f"functions over {MAX_FUNCTION_LINES} lines": long_functions(python_files()),
    }
    for name, places in found.items():
        record_property("layout", [name, len(places)])
    assert not any(found.values()), found


def test_a_cycle_a_long_file_and_a_long_function_are_found(tmp_path):
    one, other = tmp_path / "one.py", tmp_path / "other.py"
    assert cycles({one: {other}, other: {one}}) and not cycles({one: {other}, other: set()})
    one.write_text("async def long():\n" + "    await ready()\n" * MAX_FUNCTION_LINES)
    other.write_text("def short():\n" + "    pass\n" * (MAX_FUNCTION_LINES - 1))
    assert long_functions([one, other]) == [f"{one}:1 long"]
    one.write_text("#\n" * (MAX_FILE_LINES + 1))
    other.write_text("#\n" * MAX_FILE_LINES)
    assert long_files([one, other]) == [one]


def test_the_source_is_packages_and_three_files():
    there = {path.name for path in SOURCE.iterdir()} - {"__pycache__"}
    assert {name for name in there if (SOURCE / name).is_file()} <= LOOSE
    # An update by git leaves folders of former packages behind that hold compiled Python alone.
    packages = {name for name in there if [*(SOURCE / name).rglob("*.py")]}
    assert packages == set(sources())


def test_an_upward_import_is_found(tmp_path):
    planted = tmp_path / "planted.py"
    planted.write_text("from unveil.registry import champion\n")
    assert upward({"data": [planted]}, FLOORS) == [f"{planted} imports registry"]
    planted.write_text("import unveil.config.params\n")
    assert upward({"data": [planted]}, FLOORS) == []


@pytest.mark.parametrize("name", sources())
def test_a_package_says_what_it_may_import(name):
    said = ast.get_docstring(ast.parse((SOURCE / name / "__init__.py").read_text()))
    listed = re.search(r"May import: ([a-z,\s]+)\.", said).group(1)
    needed = {other for path in sources()[name] for other in own(path)} - {name}
    assert set(re.split(r",\s+", listed)) - {"nothing"} == needed


@pytest.mark.parametrize("tool", DOORS)
def test_each_tool_has_one_door(tool):
    for path in SOURCE.rglob("*.py"):
        if tool in {name.split(".")[0] for name in imported(path)}:
            assert package(path) == DOORS[tool], path
    for path in (ROOT / "flows").rglob("*.py"):
        assert tool not in {name.split(".")[0] for name in imported(path)}, path


def test_onnxruntime_is_for_inference_and_for_the_proof_of_an_export():
    users = [p for p in SOURCE.rglob("*.py") if "onnxruntime" in str(imported(p))]
    assert {package(path) for path in users} == {"export", "inference"}


def test_prefect_is_for_the_flows_alone():
    for path in SOURCE.rglob("*.py"):
        assert "prefect" not in {name.split(".")[0] for name in imported(path)}, path


def test_no_private_module_of_typer_is_imported():
    for path in python_files():
        assert not {name for name in imported(path) if name.startswith("typer._")}, path


def test_the_flows_import_no_learning():
    for path in (ROOT / "flows").rglob("*.py"):
        assert [name for name in imported(path) if name.startswith(LEARNING)] == [], path


def test_the_main_flow_is_short_enough_to_read_aloud():
    assert len((ROOT / "flows/train_all.py").read_text().splitlines()) <= 40


def positional(path: Path, function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the parameters of a command that are no options."""
    named = {
        node.targets[0].id
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and "typer.Argument" in ast.unparse(node.value)
    }
    hints = [ast.unparse(arg.annotation) for arg in function.args.args if arg.annotation]
    return sum(hint in named or "typer.Argument" in hint for hint in hints)


def test_no_function_takes_many_arguments():
    for path, function in functions(python_files()):
        names = [arg.arg for arg in function.args.args if arg.arg not in ("self", "cls")]
        is_command = path.parent.name == "cli"
        most = MAX_OPTIONS + positional(path, function) if is_command else MAX_ARGUMENTS
        where = f"{path}:{function.lineno}"
        assert len(names) + len(function.args.kwonlyargs) <= most, where


def test_no_picture_array_or_database_is_in_git():
    kinds = {".jpg", ".jpeg", ".npz", ".npy", ".parquet", ".zip", ".db", ".keras", ".h5"}
    assert [path for path in tracked() if path.suffix in kinds] == []


def test_mlflow_folder_shadows_nothing():
    assert list((ROOT / "mlflow").rglob("*.py")) == []


def test_the_top_level_is_the_agreed_one():
    assert {name for name in TOP_LEVEL if not (ROOT / name).exists()} == set()
