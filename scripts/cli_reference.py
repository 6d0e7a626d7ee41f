"""The commands of ``unveil`` -> the reference part of docs/cli.md, in the groups of ``--help``.

What is above ``MARK`` in the file is written by hand and stays. Typer renders each command.

    python -m scripts.cli_reference
"""

import re
from pathlib import Path

import typer
from flows import trigger
from typer.cli import get_docs_for_click
from typer.core import TyperGroup

from unveil.cli import app

PAGE = Path(__file__).parents[1] / "docs/cli.md"
MARK = "<!-- Below: written by scripts/cli_reference.py -->\n"
HELP = "* `--help`: Show this message and exit.\n"
"""Every command has it; it is said once, at the top."""
COMMANDS = re.compile(r"\*\*Commands\*\*:\n\n(\* .*\n)+")
"""The commands of a group, cut off after 45 characters; their sections follow anyway."""


def reference() -> str:
    """Return a section for each group of commands, and in it one for each command."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    context = typer.Context(root)
    groups: dict[str, list[str]] = {}
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        panel = getattr(command, "rich_help_panel", None) or "Commands"
        groups.setdefault(panel, []).append(_section(_real(name, command), name, context))
    return "\n".join(f"## {panel}\n\n" + "\n".join(sections) for panel, sections in groups.items())


def _real(name: str, command: object) -> object:
    """Return the command; for `unveil run`, the flow's own, which parses the arguments."""
    if name != "run":
        return command
    launcher = typer.Typer(add_completion=False)
    launcher.command(name)(trigger.main)
    return typer.main.get_command(launcher)


def _section(command: object, name: str, context: typer.Context) -> str:
    text = get_docs_for_click(
        obj=command,  # type: ignore[arg-type]
        ctx=context,
        indent=2,
        name=name,
        call_prefix="unveil",
    )
    text = COMMANDS.sub("", text).replace(HELP, "").replace("**Options**:\n\n\n", "")
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def render(page: str) -> str:
    """Return the page with its reference part written anew."""
    return page.partition(MARK)[0] + MARK + "\n" + reference()


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
