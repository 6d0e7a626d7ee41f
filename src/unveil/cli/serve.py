"""unveil serve, unveil token: the HTTP server and its access tokens."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from unveil.cli.commands import App
from unveil.serving.settings import Settings

app = App()


def _options(command: Callable[[Settings], None]) -> Callable[..., None]:
    """Add an option for each field of ``Settings``; its annotation is the help text."""

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
    # A tuple of any length becomes an option that can be repeated.
    several = kind == tuple[str, ...]
    return Annotated[list[str] if several else kind, typer.Option(help=text)]


@app.command()
@_options
def serve(settings: Settings) -> None:
    """Serve predictions over HTTP and WebSocket.

    A declared purpose (--purpose) is required. Runs until SIGTERM or Ctrl-C.
    """
    from unveil.serving import run

    run.serve(settings)


@app.command()
def token(
    name: Annotated[
        str, typer.Argument(help="Name of the client that uses the token; not a person's name.")
    ],
    token_file: Annotated[
        Path, typer.Option(help="The file that stores the hashes of all tokens.")
    ] = Path("tokens.json"),
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Revoke the token of NAME instead of creating one.")
    ] = False,
) -> None:
    """Create an access token for `unveil serve`.

    The token is printed once; only its hash is stored.
    """
    from unveil.serving import tokens

    if revoke:
        tokens.revoke(token_file, name)
        print(f"the token of {name} is revoked")
    else:
        print(tokens.issue(token_file, name))
