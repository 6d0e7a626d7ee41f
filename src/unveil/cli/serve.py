"""unveil serve, unveil token: answers over the network, and who may ask for them."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from unveil.serving.settings import Settings

app = typer.Typer()


def _options(command: Callable[[Settings], None]) -> Callable[..., None]:
    """Give a command an option for each field of the settings, with its text as help."""

    def called(**values: Any) -> None:
        for name, value in values.items():
            values[name] = tuple(value) if isinstance(value, list) else value
        command(Settings(**values))

    hints = get_type_hints(Settings, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=_option(hints[field.name]),
        )
        for field in fields(Settings)
    ]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    return called


def _option(hint: Any) -> Any:
    kind, text = get_args(hint)
    # A tuple of any length is an option that may be given several times.
    several = kind == tuple[str, ...]
    return Annotated[list[str] if several else kind, typer.Option(help=text)]


@app.command()
@_options
def serve(settings: Settings) -> None:
    """Answer over HTTP and WebSocket, for a purpose that is declared, until SIGTERM."""
    from unveil.serving import run

    run.serve(settings)


@app.command()
def token(
    name: Annotated[str, typer.Argument(help="Who gets it; not a person's name.")],
    token_file: Annotated[Path, typer.Option(help="Where its hash is kept.")] = Path("tokens.json"),
    revoke: Annotated[bool, typer.Option("--revoke", help="Take it back instead.")] = False,
) -> None:
    """Make a token by which NAME may ask `unveil serve`, and print it, once."""
    from unveil.serving import tokens

    if revoke:
        tokens.revoke(token_file, name)
        print(f"{name} may not ask any more")
    else:
        print(tokens.issue(token_file, name))
