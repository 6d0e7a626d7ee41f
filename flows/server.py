"""Connects to the Prefect server of PREFECT_API_URL, with clear errors if it does not answer."""

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
from unveil.common.errors import UserError, mask_secrets

Arguments = ParamSpec("Arguments")

PATIENCE = 30
"""Timeout of the first answer in seconds; on a busy machine ten were too few."""

ANSWERS = {
    401: "it requires a login; set PREFECT_API_AUTH_STRING or PREFECT_API_KEY",
    403: "it refuses this login; correct PREFECT_API_AUTH_STRING or PREFECT_API_KEY",
    404: "it has no Prefect API at this address; does PREFECT_API_URL end with /api?",
}


def configured_url() -> str | None:
    """Return the address from the environment or Prefect's profile; None if neither has one."""
    return get_current_settings().api.url or None


def connect() -> SyncPrefectClient:
    """Return a client of the server; raises `UserError` within seconds if it does not answer."""
    url = configured_url()
    if url is None:
        raise UserError("no Prefect server is set; set PREFECT_API_URL=http://HOST:4200/api")
    if why := server_address.problem(url):
        raise UserError(server_address.error_message(url, why))
    _ask(url)
    return get_client(sync_client=True)


def _ask(url: str) -> None:
    place = f"the Prefect server at {mask_secrets(url)}"
    quick = {PREFECT_API_REQUEST_TIMEOUT: PATIENCE, PREFECT_CLIENT_MAX_RETRIES: 0}
    try:
        with temporary_settings(quick), get_client(sync_client=True) as client:
            client.api_version()
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        other = f"it returns {status} {error.response.reason_phrase}"
        raise UserError(f"{place} does not answer: {ANSWERS.get(status, other)}") from None
    except httpx.HTTPError as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{place} does not answer: {why}; start it, or change PREFECT_API_URL"
        ) from None
    except ValueError:
        raise UserError(f"{place} does not answer: {ANSWERS[404]}") from None


def report_user_errors(verb: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Decorate a command to print a `UserError` as one line on stderr and exit with code 2."""

    @functools.wraps(verb)
    def reporting(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except UserError as error:
            print(f"unveil: {error}", file=sys.stderr)
            raise typer.Exit(2) from None

    return reporting
