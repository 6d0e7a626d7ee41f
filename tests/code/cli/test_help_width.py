"""The help of every command fits 80 columns, and no name in it is cut."""

from collections.abc import Iterator

import pytest
from flows import __main__ as train_all
from flows import deploy, trigger, worker
from typer import Typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from unveil.cli import app


def commands(
    command: TyperCommand | TyperGroup, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], TyperCommand | TyperGroup]]:
    yield path, command
    for name, one in getattr(command, "commands", {}).items():
        yield from commands(one, (*path, name))


def flow(module) -> Typer:
    """A command of flows, as `typer.run` makes it."""
    alone = Typer(add_completion=False)
    alone.command()(module.main)
    return alone


# `unveil run` hands --help to flows.trigger.
CASES = {
    " ".join(("unveil", *path)): (app, path, command)
    for path, command in commands(get_command(app))
    if path != ("run",)
}
CASES |= {
    module.__name__: (flow(module), (), get_command(flow(module)))
    for module in (train_all, deploy, trigger, worker)
}


@pytest.mark.parametrize("name", CASES)
def test_no_name_is_cut_at_80_columns(name):
    of, path, command = CASES[name]
    shown = CliRunner().invoke(of, [*path, "--help"], env={"COLUMNS": "80"})
    assert shown.exit_code == 0
    lines = shown.output.splitlines()
    assert [line for line in lines if "…" in line] == []
    assert max(map(len, lines)) <= 80
    options = [one for one in command.params if one.param_type_name == "option"]
    names = {text for option in options for text in (*option.opts, *option.secondary_opts)}
    words = {word for line in lines for word in line.replace(",", " ").split()}
    assert names - words == set()
