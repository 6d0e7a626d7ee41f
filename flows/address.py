"""The address of a Prefect server, as PREFECT_API_URL has it: what is wrong with it, if anything.

Imports nothing of Prefect, whose own import ends in a traceback where the address is malformed.
"""

from urllib.parse import urlsplit

from unveil.errors import masked


def flaw(url: str) -> str | None:
    """Say what keeps ``url`` from naming a server; None where nothing does."""
    try:
        parts = urlsplit(url)
        named = parts.hostname and parts.port != 0
    except ValueError:
        return "host and port cannot be read"
    if parts.scheme not in ("http", "https"):
        return "it does not begin with http:// or https://"
    return None if named else "it names no host"


def refused(url: str, why: str) -> str:
    """Put into one line why an address is not used, and what one looks like."""
    return (
        f"PREFECT_API_URL is {masked(url)!r}: {why}; "
        "it is the address of a Prefect server, such as http://HOST:4200/api"
    )
