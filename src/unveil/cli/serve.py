"""unveil serve, unveil token: the HTTP server and its access tokens."""

from dataclasses import Field
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from unveil.cli.commands import App, with_options
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


def _option(field: Field[Any], hint: Any) -> Any:
    """Make an option of a setting; its annotation is the help text."""
    panel = next(panel for panel, names in PANELS.items() if field.name in names)
    kind, text = get_args(hint)
    # A tuple of any length becomes an option that can be repeated.
    several = kind == tuple[str, ...]
    # A flag that is off by default needs no second name to turn it off.
    names = [f"--{field.name.replace('_', '-')}"] if field.default is False else []
    option = typer.Option(*names, help=text, rich_help_panel=panel)
    return Annotated[list[str] if several else kind, option]


@app.command()
@with_options(_option)
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
