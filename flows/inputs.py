"""Checks the arguments of train-all within a second; imports neither Prefect nor DVC."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from unveil.common.errors import UserError
from unveil.config import params


def require_valid(
    source: str | None, recipe: str | None, architectures: Sequence[str] | None
) -> None:
    """Raise `UserError` for a missing source, or an unknown recipe or architecture."""
    params.require_known(recipe, architectures)
    # `unveil ingest` reports a source that exists and cannot be read.
    with suppress(OSError):
        if source is not None and not Path(source).exists():
            from unveil.data.ingest import KINDS

            raise UserError(f"{source} not found; {KINDS}")
