"""unveil serve, unveil token: the HTTP server and its access tokens."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from unveil.cli.commands import App
from unveil.serving.settings import Settings

app = App()

PANELS = {
    "Purpose": ("purpose", "exception", "reason", "contact"),
    "Model": ("bundle", "precision", "detector", "detector_digest"),
    "Address and access": (
        *("host", "port", "token_file", "allow_host", "allow_origin", "private"),
        *("certificate", "key"),
    ),
    "Limits": (
        *("max_bytes", "max_pixels", "max_side", "max_scans", "max_batch_pixels"),
        *("picture_seconds", "batch_seconds", "body_seconds", "drain_seconds"),
        *("waiting", "patience", "connections", "streams"),
    ),
    "Feedback": ("feedback", "feedback_pictures", "feedback_most"),
    "Monitoring and recovery": ("watched", "audit", "keep"),
}
"""The groups of options in the help; the columns of a group are as wide as its options need."""


def _options(command: Callable[[Settings], None]) -> Callable[..., None]:
    """Add an option for each field of ``Settings``; its annotation is the help text."""

    def called(**values: Any) -> None:
        for name, value in values.items():
            values[name] = tuple(value) if isinstance(value, list) else value
        command(Settings(**values))

    hints = get_type_hints(Settings, include_extras=True)
    panels = {name: panel for panel, names in PANELS.items() for name in names}
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=_option(field, hints[field.name], panels[field.name]),
        )
        for field in fields(Settings)
    ]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    return called


def _option(field: Field[Any], hint: Any, panel: str) -> Any:
    kind, text = get_args(hint)
    # A tuple of any length becomes an option that can be repeated.
    several = kind == tuple[str, ...]
    # A flag that is off by default needs no second name to turn it off.
    names = [f"--{field.name.replace('_', '-')}"] if field.default is False else []
    option = typer.Option(*names, help=text, rich_help_panel=panel)
    return Annotated[list[str] if several else kind, option]


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
