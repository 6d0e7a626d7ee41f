"""The documentation: its site builds offline with valid links; its commands and files exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import cli_reference
from tests.support.import_graph import ROOT

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
    import unveil

    text = (site / "api.html").read_text()
    names = {
        *unveil.__all__,
        "client.Client",
        "client.Face",
        "client.Picture",
        "client.ServerError",
    }
    assert {name for name in names if f'id="unveil.{name}"' not in text} == set()


def test_the_command_reference_is_current():
    page = cli_reference.PAGE.read_text()
    assert cli_reference.render(page) == page, "run python scripts/cli_reference.py"


def test_the_command_reference_has_every_command_in_both_parts():
    import typer

    table, _, reference = cli_reference.PAGE.read_text().partition(cli_reference.MARK)
    root = typer.main.get_command(cli_reference.app)
    left_out = {"bench", "run"}  # they make no artifact
    for name in root.commands:
        assert f"### `unveil {name}`\n" in reference
        assert name in left_out or re.search(rf"`unveil {name}\b", table), name


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_the_make_targets_and_commands_of_a_page_exist(page):
    import typer

    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", page.read_text(), re.S))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", code, re.M)) <= targets
    root = typer.main.get_command(cli_reference.app)
    called = re.findall(r"(?:^|[`/]|&& |\| )unveil ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", code, re.M)
    for name, second in called:
        assert name in root.commands, f"unveil {name}"
        below = getattr(root.commands[name], "commands", None)
        assert not below or not second or second in below, f"unveil {name} {second}"
