"""The address of a Prefect server, as PREFECT_API_URL has it: what is wrong with it, if anything.

Imports nothing of Prefect, whose own import ends in a traceback where the address is malformed.
"""

from unveil.common import identifiers
from unveil.common.errors import masked


def flaw(url: str) -> str | None:
    """Say what keeps ``url`` from naming a server; None where nothing does."""
    try:
        identifiers.address(url)
    except ValueError as error:
        return str(error)
    return None


def refused(url: str, why: str) -> str:
    """Put into one line why an address is not used, and what one looks like."""
    return (
        f"PREFECT_API_URL is {masked(url)!r}: {why}; "
        "it is the address of a Prefect server, such as http://HOST:4200/api"
    )
