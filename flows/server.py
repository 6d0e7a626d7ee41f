"""The Prefect server that PREFECT_API_URL names, and what is said when it does not answer."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

import httpx
import typer
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_CLIENT_MAX_RETRIES,
    get_current_settings,
    temporary_settings,
)

from flows import server_address
from unveil.common.errors import UserError, masked

Arguments = ParamSpec("Arguments")

PATIENCE = 30
"""Seconds a server may take for its first answer; on a busy machine ten were too few."""

ANSWERS = {
    401: "it wants a login; set PREFECT_API_AUTH_STRING or PREFECT_API_KEY",
    403: "it refuses this login; correct PREFECT_API_AUTH_STRING or PREFECT_API_KEY",
    404: "it has no Prefect API at this address; does PREFECT_API_URL end with /api?",
}


def named() -> str | None:
    """Give the address of the environment or of Prefect's profile; None where neither has one."""
    return get_current_settings().api.url or None


def reachable() -> SyncPrefectClient:
    """Give a client of the server; a `UserError`, in seconds, when there is none."""
    url = named()
    if url is None:
        raise UserError("no Prefect server is named; set PREFECT_API_URL=http://HOST:4200/api")
    if why := server_address.flaw(url):
        raise UserError(server_address.refused(url, why))
    _ask(url)
    return get_client(sync_client=True)


def _ask(url: str) -> None:
    place = f"the Prefect server at {masked(url)}"
    quick = {PREFECT_API_REQUEST_TIMEOUT: PATIENCE, PREFECT_CLIENT_MAX_RETRIES: 0}
    try:
        with temporary_settings(quick), get_client(sync_client=True) as client:
            client.api_version()
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        said = f"it says {status} {error.response.reason_phrase}"
        raise UserError(f"{place} does not answer: {ANSWERS.get(status, said)}") from None
    except httpx.HTTPError as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{place} does not answer: {why}; start it, or change PREFECT_API_URL"
        ) from None
    except ValueError:
        raise UserError(f"{place} does not answer: {ANSWERS[404]}") from None


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
