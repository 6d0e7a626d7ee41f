"""The shape of the project: what may import what, what dvc.yaml must name, what README promises."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/unveil"
ORDER = [
    *(
        "errors",
        "memory",
        "backend",
        "swap",
        "git",
        "tracked",
        "files",
        "page",
        "locks",
        "paths",
        "leftovers",
        "tables",
    ),
    *("csv_table", "architectures", "names", "schema", "rules", "expectations"),
    *("strict_yaml", "params", "containers", "images", "strip", "sample", "origins"),
    *("split_folders", "compression", "archive", "attributes", "fer2013", "ingest", "intake"),
    *("looks", "twins", "corrections", "faults", "splits", "manifest", "statistics", "census"),
    *(
        "datadocs",
        "validate",
        "packed",
        "pack",
        "adamw",
        "augmentation",
        "batches",
        "callbacks",
        "devices",
        "fused_norm",
        "checkpoint",
        "course",
    ),
    *(
        "train",
        "measures",
        "predictions",
        "certainty",
        "significance",
        "slices",
        "fairness",
        "calibration",
    ),
    *("assessment", "plots", "charts", "evaluate", "explain", "learning_curve", "pairs"),
    *("compare", "drift", "card", "provenance", "reference"),
    *("registry", "recorded", "seeds", "journal", "takeout", "feedback", "enlarge", "answer"),
    *(
        "checksum",
        "bundle_folder",
        "bundle",
        "lineage",
        "leaflet",
        "convert",
        "export",
        "release",
        "contest",
        "gate",
    ),
    *("promote", "report", "model_card", "hog", "doubt"),
    *("contact", "audit", "machines", "history", "objects", "parts"),
    *("texts_inside", "bytes_inside", "numbers_inside", "tables_inside", "databases_inside"),
    *("contents", "along", "alike", "search", "request", "workspace", "findings", "erase"),
    *("bench", "speed", "storage", "remote", "detect", "tracks", "video", "annotate", "predict"),
    *("lines", "pace", "client", "serving", "monitoring", "cli", "__main__"),
]
DOORS = {
    "mlflow": ["src/unveil/registry"],
    "great_expectations": ["src/unveil/validate.py", "src/unveil/datadocs"],
    "prefect": ["flows"],
    "boto3": ["src/unveil/storage/"],
    "botocore": ["src/unveil/storage/"],
    "fastapi": ["src/unveil/serving/"],
    "uvicorn": ["src/unveil/serving/"],
    "prometheus_client": ["src/unveil/serving/"],
    "cleanlab": ["src/unveil/audit.py"],
    "cv2": ["src/unveil/detect.py", "src/unveil/video.py"],
    "onnx": ["src/unveil/convert.py"],
    "onnxruntime": ["src/unveil/bundle.py", "src/unveil/convert.py"],
    "fairlearn": ["src/unveil/fairness.py"],
}
# params checks rules' entries at load; who judges by them imports them. A rule retrains nothing.
CHECKED_ONLY = {"expectations", "rules"}
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


def own(path: Path) -> set[str]:
    parts = (name.split(".") for name in imported(path) if name.startswith("unveil."))
    return {part[1] for part in parts if part[1] in ORDER}


def files_of(module: str) -> list[Path]:
    folder = SOURCE / module
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def closure(module: str) -> set[str]:
    found, waiting = set(), {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        needed = {other for path in files_of(name) for other in own(path)}
        waiting |= needed - found - (CHECKED_ONLY if name == "params" else set())
    return found


def stages() -> dict[str, dict]:
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in content.items()}


def test_every_module_has_a_place_in_the_order():
    modules = {path.stem if path.suffix else path.name for path in SOURCE.iterdir()}
    assert modules - {"__init__", "__pycache__", "py"} == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_what_stands_above_it(module):
    above = ORDER[: ORDER.index(module) + 1]
    for path in files_of(module):
        assert own(path) <= set(above), path


@pytest.mark.parametrize("tool", DOORS)
def test_each_tool_has_one_door(tool):
    for path in [*SOURCE.rglob("*.py"), *(ROOT / "flows").rglob("*.py")]:
        if tool in {name.split(".")[0] for name in imported(path)}:
            inside = path.relative_to(ROOT).as_posix()
            assert any(inside.startswith(door) for door in DOORS[tool]), inside


def test_the_flows_import_no_learning():
    for path in (ROOT / "flows").rglob("*.py"):
        assert not imported(path) & {"keras", "tensorflow", "unveil.train", "unveil.evaluate"}


@pytest.mark.parametrize("name", stages())
def test_a_stage_depends_on_all_code_it_runs_and_on_no_other(name):
    named = {dep for dep in stages()[name]["deps"] if dep.startswith("src/")}
    needed = set()
    for module in closure(name):
        folder = SOURCE / module
        needed.add(f"src/unveil/{module}{'' if folder.is_dir() else '.py'}")
    assert named == needed


def test_a_training_is_known_by_all_code_that_decides_it():
    from unveil.checkpoint import CODE

    assert set(CODE) == closure("train")


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
    from unveil import paths

    again = {
        *("MANIFEST", "SUMMARY", "VERDICT", "DATA_DOCS", "PACKED", "MODELS", "REPORTS", "CARD"),
        *("COMPARISON", "LEADERBOARD", "HARDWARE", "EXPLANATIONS", "REPORT", "CARD_PLOTS", "SHEET"),
    }
    stays = {
        *("PARAMS", "JOURNAL", "PROMOTIONS", "ARCHIVE", "CORRECTIONS", "AUDITED", "PROMOTION"),
        *("MODEL_CARD", "LEARNING_CURVES", "SUSPECTS", "BUNDLE", "STARTER", "AUDIT_LOG"),
        *("LAST_GOOD", "TRACKING", "SEEDS", "SPREADS", "CHECKPOINTS"),
    }
    named = {name for name, path in vars(paths).items() if isinstance(path, Path)}
    assert named - {"DATA", "AUDIT"} == again | stays  # a new place has to be put among them
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in again | stays:
        place = tmp_path / getattr(paths, name)
        (place.parent if place.suffix else place).mkdir(parents=True, exist_ok=True)
        (place if place.suffix else place / "file").write_text(name)
    own = ["data/05_reports/notes.md", "data/06_audit/mine.csv", "data/08_serving/feedback/a"]
    made = ["data/06_audit/folds/a", "data/06_audit/features/a"]
    for path in map(tmp_path.joinpath, [*own, *made]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    subprocess.run(["make", "clean"], cwd=tmp_path, capture_output=True, check=True)
    for name in again | stays:
        assert (tmp_path / getattr(paths, name)).exists() == (name in stays), name
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
