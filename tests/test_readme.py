"""README: the make targets, commands and paths that it names exist."""

import re

from tests.support.import_graph import ROOT


def test_every_make_target_in_the_readme_exists():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    promised = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", readme, re.M))
    assert promised and promised <= targets


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
