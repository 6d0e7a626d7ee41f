"""unveil data: what one looks at, and does, about the faces themselves."""

import typer

app = typer.Typer(help="Look after the faces.", no_args_is_help=True)
