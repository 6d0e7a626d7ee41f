"""The documentation: its site builds offline with valid links; its commands and files exist."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
import yaml
from PIL import Image
from scripts import cli_reference
from tests.support.import_graph import ROOT
from tests.support.scenes import scene

import unveil
from unveil.config import params
from unveil.rules import expectations

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LOADED = re.compile(r'<(?:script|img|iframe)[^>]* src="([^"]+)|<link[^>]* href="([^"]+)')
"""What a browser loads to show a page."""


def build(*options: str) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", *options]
    around = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=around, capture_output=True, text=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build("--site-dir", str(folder))
    assert built.returncode == 0, built.stderr
    return folder


def test_every_link_and_anchor_of_the_site_is_valid(site):
    assert (site / "index.html").exists() and (site / "cli.html").exists()


def test_a_broken_link_or_anchor_fails_the_build(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "page.md").write_text("[file](gone.md) [anchor](#gone) [outside](../gone.md)\n")
    settings = (ROOT / "mkdocs.yml").read_text().replace("hooks: [scripts/site_pages.py]", "")
    settings = re.sub(r"^nav:.*?^validation", "validation", settings, flags=re.M | re.S)
    (tmp_path / "mkdocs.yml").write_text(settings)
    built = build("--config-file", str(tmp_path / "mkdocs.yml"))
    assert built.returncode == 1
    assert all(f"'{name}'" in built.stderr for name in ("gone.md", "#gone", "../gone.md"))


def test_the_site_loads_nothing_from_other_hosts(site):
    pages = [*site.rglob("*.html")]
    loaded = {one or other for page in pages for one, other in LOADED.findall(page.read_text())}
    assert loaded and [url for url in loaded if "//" in url] == []
    assert [page for page in pages if 'class="mermaid"' in page.read_text()] == []


def test_the_api_page_has_every_public_name(site):
    text = (site / "api.html").read_text()
    names = {
        *unveil.__all__,
        "client.Client",
        "client.Face",
        "client.Picture",
        "client.ServerError",
    }
    assert {name for name in names if f'id="unveil.{name}"' not in text} == set()


def test_the_command_reference_is_current_and_the_documented_command_writes_it():
    page = cli_reference.PAGE.read_text()
    assert cli_reference.render(page) == page, "run python -m scripts.cli_reference"
    documented = re.search(
        r"^\.venv/bin/python (.*cli_reference\S*)", (ROOT / "CONTRIBUTING.md").read_text(), re.M
    )
    assert documented
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, *documented[1].split()]
    subprocess.run(command, cwd=ROOT, env=clean, check=True)
    assert cli_reference.PAGE.read_text() == page


def test_the_command_reference_has_every_command_in_both_parts():
    table, _, reference = cli_reference.PAGE.read_text().partition(cli_reference.MARK)
    root = typer.main.get_command(cli_reference.app)
    left_out = {"bench", "run"}  # they make no artifact
    for name in root.commands:
        assert f"### `unveil {name}`\n" in reference
        assert name in left_out or re.search(rf"`unveil {name}\b", table), name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_make_targets_and_commands_of_a_page_exist(page):
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), re.S))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", code, re.M)) <= targets
    root = typer.main.get_command(cli_reference.app)
    called = re.findall(r"(?:^|[`/]|&& |\| )unveil ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", code, re.M)
    for name, second in called:
        assert name in root.commands, f"unveil {name}"
        below = getattr(root.commands[name], "commands", None)
        assert not below or not second or second in below, f"unveil {name} {second}"


def blocks(page: str, kind: str) -> list[str]:
    """Give the code blocks of a how-to page, also those in lists."""
    text = (ROOT / "docs/how-to" / page).read_text()
    found = re.findall(rf"^( *)```{kind}\n(.*?)^\1```", text, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def merged(into: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        nested = isinstance(value, dict) and isinstance(into.get(key), dict)
        into[key] = merged(into[key], value) if nested else value
    return into


def changed_parameters(page: str, folder: Path) -> Path:
    """Write params.yaml with the changes that a page shows."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for block in blocks(page, "yaml"):
        merged(values, yaml.safe_load(block))
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values, default_flow_style=False))
    return path


def test_the_parameters_of_the_how_to_pages_are_valid(tmp_path):
    seven = params.load(changed_parameters("own-classes.md", tmp_path))
    assert len(seven.classes) == 7 and seven.rules["class_balance"]["max_imbalance"] == 20
    assert params.load(changed_parameters("larger-images.md", tmp_path)).data.image_size == 96
    added = params.load(changed_parameters("new-architecture.md", tmp_path))
    assert added.architectures["mobilenet"].backbone == "mobilenet_v2.MobileNetV2"
    own = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert yaml.safe_load(changed_parameters("transfer.md", tmp_path).read_text()) == own


def test_the_two_commands_that_train_from_packages_are_valid(tmp_path):
    commands = blocks("transfer.md", "sh")[0].splitlines()
    assert len(commands) == 2
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, tmp_path)
    said = [
        subprocess.run(
            [*shlex.split(command), "--dry-run"], cwd=tmp_path, capture_output=True, text=True
        )
        for command in commands
    ]
    assert [one.returncode for one in said] == [0, 0], said
    assert "--extra train --extra backbones" in said[0].stdout
    assert all(one in said[1].stdout for one in ('--recipe "transfer"', '"vgg16,efficientnet"'))


def test_the_rule_of_the_how_to_page_finds_a_blurred_face(tmp_path, monkeypatch):
    declared, test_entry = blocks("new-data-rule.md", "python")
    rule = eval(declared, dict(vars(expectations)))
    monkeypatch.setattr(params, "RULES", (*expectations.RULES, rule))
    setting = params.load(changed_parameters("new-data-rule.md", tmp_path)).rules["sharp_enough"]
    found = rule.find(pd.DataFrame({"sharpness": [5.0, 50.0]}), setting)
    assert found.to_dict() == {0: "sharpness 5.0"}
    assert f'"{rule.fault}: {found[0]}"' in test_entry


def test_the_crops_of_the_how_to_page_are_faces(tmp_path, monkeypatch):
    (tmp_path / "models").symlink_to(ROOT / "models")
    photo = tmp_path / "photos/train/happy/1.jpg"
    photo.parent.mkdir(parents=True)
    Image.fromarray(scene((60, 120, 200), (350, 120, 200))).save(photo)
    monkeypatch.chdir(tmp_path)
    exec(blocks("larger-images.md", "python")[0], {})
    faces = sorted(Path("faces/train/happy").iterdir())
    assert [path.name for path in faces] == ["1-0.png", "1-1.png"]
    with Image.open(faces[0]) as face:
        assert min(face.size) > 100
