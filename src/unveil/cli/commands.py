"""The class of all commands, options from dataclasses, and the groups of `unveil --help`."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import Field, fields, is_dataclass
from typing import Any, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import CommandFunctionType

PANELS = {
    "Predict and serve": ("predict", "video", "serve", "token"),
    "Data": ("sample", "ingest", "manifest", "validate", "pack", "data"),
    "Train and compare": (
        *("run", "train", "evaluate", "compare", "explain", "learning-curve", "sweep"),
        *("report", "model-card"),
    ),
    "Register and release": ("publish", "promote", "rollback", "champion", "export"),
    "Machine and storage": ("bench", "remote"),
}
"""The groups of commands, in the order of the help."""
EXAMPLES = {
    "predict": (
        "unveil predict photo.jpg",
        "unveil predict 'holiday/*.jpg' --format csv > faces.csv",
        "unveil predict clip.mp4 --annotated shown",
        "curl --silent URL | unveil predict -",
    ),
    "video": (
        "unveil video clip.mp4 --from 1:30 --to 2:00 --annotated shown",
        "unveil video rtsp://camera.example/live --fps 2 --format jsonl",
    ),
    "serve": (
        "unveil serve --purpose 'sort my own photo album'",
        "unveil serve --purpose 'sort my own photo album' --bundle starter --port 8080",
    ),
    "ingest": ("unveil ingest faces.zip", "unveil ingest faces/ --attributes attributes.csv"),
    "train": ("unveil train cnn5_gray", "unveil train cnn5_gray --seeds 3"),
    "sweep": ("unveil sweep cnn5_gray", "unveil sweep cnn3 --trials 40 --space space.yaml"),
    "compare": ("unveil compare", "unveil compare --by hardware --price laptop=0.10"),
    "promote": ("unveil promote --dry-run", "unveil promote --force --reason 'agreed on Monday'"),
    "rollback": ("unveil rollback", "unveil rollback --to 3"),
    "export": ("unveil export", "unveil export --architecture cnn5_gray --to bundle"),
    "run": ("unveil run train-all --recipe full --concurrency 4",),
}
"""Examples below the help of a command."""


class Command(TyperCommand):
    """A command that refuses an option given twice, instead of using the last one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; a repeated option is a usage error."""
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for option, count in Counter(order).items():
                if count > 1 and not option.multiple and option.param_type_name == "option":
                    ctx.fail(f"{option.opts[-1]} is given {count} times; give it once")
        return super().parse_args(ctx, args)


Annotate = Callable[[Field[Any], Any], Any]
Function = Callable[..., None]


def as_declared(_: Field[Any], hint: Any) -> Any:
    """Return a field's own type hint, which has its option."""
    return hint


class App(typer.Typer):
    """A group of such commands."""

    def command(
        self, *args: Any, **kwargs: Any
    ) -> Callable[[CommandFunctionType], CommandFunctionType]:
        """Register a function as a command."""
        return super().command(*args, **{"cls": Command, **kwargs})


def with_options(annotated: Annotate = as_declared) -> Callable[[Function], Function]:
    """Let a parameter that is a dataclass stand for one option for each of its fields.

    ``annotated`` is called with a field and its type hint, and returns Typer's annotation.
    """

    def decorate(command: Function) -> Function:
        hints = get_type_hints(command, include_extras=True)
        own: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}

        def called(**values: Any) -> None:
            for name, kind in own.items():
                values[name] = kind(
                    **{one.name: _value(values.pop(one.name)) for one in fields(kind)}
                )
            command(**values)

        parameters = [
            option
            for one in inspect.signature(command).parameters.values()
            for option in (_options(own[one.name], annotated) if one.name in own else [one])
        ]
        called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        )
        called.__name__, called.__doc__ = command.__name__, command.__doc__
        return called

    return decorate


def _options(kind: type, annotated: Annotate) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    given = inspect.signature(kind).parameters
    return [
        given[one.name].replace(annotation=annotated(one, hints[one.name])) for one in fields(kind)
    ]


def _value(value: Any) -> Any:
    # Typer gives an option that can be repeated as a list.
    return tuple(value) if isinstance(value, list) else value


def arrange(app: typer.Typer, groups: Iterable[typer.Typer]) -> None:
    """Add the commands of ``groups`` to ``app``, each in its panel and with its examples."""
    panels = {name: panel for panel, names in PANELS.items() for name in names}
    commands = {_name(one): one for group in groups for one in group.registered_commands}
    for name, panel in panels.items():
        if name in commands:
            command = commands[name]
            command.rich_help_panel = panel
            if examples := EXAMPLES.get(name):
                command.epilog = "\n\n".join(["Examples:", *(f"`{one}`" for one in examples)])
            app.registered_commands.append(command)


def _name(command: Any) -> str:
    return str(command.name) if command.name else str(command.callback.__name__).replace("_", "-")
