"""The shape of the project: what may import what, what dvc.yaml must name, what README promises."""

import ast
import re
import shutil
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/unveil"
FLOORS = (
    ("common",),
    ("networks", "rendering", "rules", "storage"),
    ("config",),
    ("data",),
    ("inference", "quality", "training"),
    ("evaluation", "serving"),
    ("benchmarks", "registry"),
    ("experiments", "export", "privacy", "reporting"),
    ("promotion",),
    ("cli",),
)
"""The packages of src/unveil, lowest first: each imports only from floors below its own."""
LOOSE = {"__init__.py", "__main__.py", "client.py", "py.typed"}
DOORS = {
    "mlflow": "registry",
    "great_expectations": "quality",
    "boto3": "storage",
    "botocore": "storage",
    "fastapi": "serving",
    "uvicorn": "serving",
    "prometheus_client": "serving",
    "cleanlab": "quality",
    "cv2": "inference",
    "onnx": "export",
    "fairlearn": "evaluation",
}
"""The one package that imports a tool; Prefect is for flows/ alone."""
# Parameters are checked against the rules at load; a changed rule retrains nothing.
CHECKED_ONLY = ("config", "rules")
TOP_LEVEL = {"flows", "src", "dvc.yaml", "params.yaml", "data", "mlflow", "tests"}
TOP_LEVEL |= {"pyproject.toml", "README.md"}


def tracked() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split() if (ROOT / name).is_file()]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


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


def stages() -> dict[str, dict]:
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in content.items()}


def test_the_source_is_packages_and_three_files():
    there = {path.name for path in SOURCE.iterdir()} - {"__pycache__"}
    assert {name for name in there if (SOURCE / name).is_file()} <= LOOSE
    assert {name for name in there if (SOURCE / name).is_dir()} == set(sources())


def test_a_package_imports_only_from_the_floors_below():
    assert upward(sources(), FLOORS) == []


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


def test_no_module_imports_itself_by_a_circle():
    # What a type checker alone reads is no import; a package's own front is not one either.
    order = TopologicalSorter(
        {
            path: {one for one in needed if one.name != "__init__.py"}
            for path, needed in graph().items()
        }
    )
    assert len(list(order.static_order())) >= len(graph())


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


def test_the_flows_import_no_learning():
    for path in (ROOT / "flows").rglob("*.py"):
        assert not imported(path) & {"keras", "tensorflow", "unveil.training", "unveil.evaluation"}


CODE_OF = {
    "manifest": "data/manifest.py",
    "validate": "quality/validate.py",
    "card": "quality/datasheet.py",
    "pack": "data/pack.py",
    "train": "training/train.py",
    "evaluate": "evaluation/evaluate.py",
    "compare": "evaluation/model_comparison.py",
}
"""Where the code of each stage of dvc.yaml begins."""


@pytest.mark.parametrize("name", stages())
def test_a_stage_depends_on_all_code_it_runs_and_on_no_other(name):
    named = {dep for dep in stages()[name]["deps"] if dep.startswith("src/")}
    needed = closure(SOURCE / CODE_OF[name])
    assert named == {f"src/unveil/{package}" for package in needed}


def test_a_training_is_known_by_all_code_that_decides_it():
    from unveil.training.checkpoint import CODE

    assert set(CODE) == closure(SOURCE / CODE_OF["train"])


def test_the_main_flow_is_short_enough_to_read_aloud():
    assert len((ROOT / "flows/train_all.py").read_text().splitlines()) <= 40


def test_files_functions_and_arguments_stay_small():
    for path in [*SOURCE.rglob("*.py"), *(ROOT / "flows").rglob("*.py")]:
        text = path.read_text()
        assert text.count("\n") <= 250, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                where = f"{path}:{node.lineno}"
                assert node.end_lineno - node.lineno < 50, where
                names = [arg.arg for arg in node.args.args if arg.arg not in ("self", "cls")]
                most = 7 if path.parent.name == "cli" else 5  # a verb's are the user's options
                assert len(names) + len(node.args.kwonlyargs) <= most, where


def test_no_picture_array_or_database_is_in_git():
    kinds = {".jpg", ".jpeg", ".npz", ".npy", ".parquet", ".zip", ".db", ".keras", ".h5"}
    assert [path for path in tracked() if path.suffix in kinds] == []


def test_mlflow_folder_shadows_nothing():
    assert list((ROOT / "mlflow").rglob("*.py")) == []


def test_the_top_level_is_the_agreed_one():
    assert {name for name in TOP_LEVEL if not (ROOT / name).exists()} == set()


def test_every_make_target_in_the_readme_exists():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    promised = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", readme, re.M))
    assert promised and promised <= targets


def test_make_keeps_the_environment_that_is_installed(tmp_path):
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/installed-gpu").touch()
    asked = ["make", "--dry-run", "worker"]
    said = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "flows.worker" in said.stdout
    assert "sync" not in said.stdout


def test_make_refuses_a_misspelt_variable():
    command = ["make", "help", "ARCHITECTURE=cnn3"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 2
    assert "unknown variable 'ARCHITECTURE'; choose from SOURCE RECIPE ARCHITECTURES" in said.stderr


def test_make_clean_removes_only_what_is_made_again(tmp_path):
    from unveil.common import paths

    generated = {
        *("MANIFEST", "SUMMARY", "VALIDATION", "DATA_DOCS", "PACKED", "MODELS", "REPORTS"),
        *("COMPARISON", "LEADERBOARD", "HARDWARE", "EXPLANATIONS", "REPORT", "DATA_CARD"),
        *("DATA_CARD_PLOTS", "CONTACT_SHEET"),
    }
    kept = {
        *("PARAMS", "JOURNAL", "PROMOTIONS", "ARCHIVE", "CORRECTIONS", "AUDIT_COUNTS", "PROMOTION"),
        *("MODEL_CARD", "LEARNING_CURVES", "SUSPECTS", "BUNDLE", "STARTER", "AUDIT_LOG"),
        *("LAST_GOOD", "TRACKING", "SEEDS", "SEED_REPORTS", "CHECKPOINTS"),
    }
    named = {name for name, path in vars(paths).items() if isinstance(path, Path)}
    assert named - {"DATA", "AUDIT"} == generated | kept  # a new path has to be added to one
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in generated | kept:
        path = tmp_path / getattr(paths, name)
        (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
        (path if path.suffix else path / "file").write_text(name)
    own = ["data/05_reports/notes.md", "data/06_audit/mine.csv", "data/08_serving/feedback/a"]
    made = ["data/06_audit/folds/a", "data/06_audit/features/a"]
    for path in map(tmp_path.joinpath, [*own, *made]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, check=True)
    for name in generated | kept:
        assert (tmp_path / getattr(paths, name)).exists() == (name in kept), name
    assert [path for path in [*own, *made] if (tmp_path / path).exists()] == own


def test_every_verb_in_the_readme_exists():
    import typer

    from unveil.cli import app

    verbs = set(typer.main.get_command(app).commands)
    promised = set(re.findall(r"\bunveil ([a-z][a-z-]*)", (ROOT / "README.md").read_text()))
    assert promised and promised <= verbs | {"is", "does"}


def test_every_path_in_the_readme_exists():
    readme = (ROOT / "README.md").read_text()
    tree = re.search(r"```text\n(.*?)```", readme, re.S).group(1)
    named = re.findall(r"^([\w./-]+)  ", tree, re.M)
    assert named and [name for name in named if not (ROOT / name).exists()] == []
    links = re.findall(r"\]\(([\w./-]+)\)", readme)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_dvc_sees_the_pointer_to_the_raw_data(project):
    from dvc.repo import Repo

    pointer = project / "data/01_raw/faces.zip.dvc"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    made = not pointer.exists()
    if made:
        pointer.write_text("outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  path: faces.zip\n")
    with Repo(project) as repo:
        names = {Path(stage.path).name for stage in repo.index.stages}
    if made:
        pointer.unlink()
    assert names == {"dvc.yaml", "faces.zip.dvc"}
