"""Validates the address of a Prefect server in PREFECT_API_URL.

Does not import Prefect, whose import ends in a traceback if the address is malformed.
"""

from unveil.common import identifiers
from unveil.common.errors import mask_secrets


def problem(url: str) -> str | None:
    """Return what is wrong with ``url`` as an address of a server; None if it is valid."""
    try:
        identifiers.http_url(url)
    except ValueError as error:
        return str(error)
    return None


def error_message(url: str, why: str) -> str:
    """Return one error line with the reason and an example of a valid address."""
    return (
        f"PREFECT_API_URL is {mask_secrets(url)!r}: {why}; "
        "use the address of a Prefect server, such as http://HOST:4200/api"
    )
