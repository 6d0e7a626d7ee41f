"""The Prefect server that PREFECT_API_URL names, and what is said when it does not answer."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import httpx
import typer
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import get_current_settings

from unveil.errors import UserError

Arguments = ParamSpec("Arguments")


def reachable() -> SyncPrefectClient:
    """Give a client of the server; a `UserError`, in seconds, when there is none."""
    url = get_current_settings().api.url
    if url is None:
        raise UserError("no Prefect server is named; set PREFECT_API_URL=http://HOST:4200/api")
    client = get_client(sync_client=True)
    try:
        client.hello()
    except httpx.HTTPError as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"the Prefect server at {url} does not answer: {why}") from None
    return client


def saying(verb: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Make a mistake one line on stderr and exit code 2."""

    @functools.wraps(verb)
    def careful(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except UserError as error:
            print(f"unveil: {error}", file=sys.stderr)
            raise typer.Exit(2) from None

    return careful
