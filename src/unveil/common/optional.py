"""Packages that not every installation has."""

import importlib
from types import ModuleType

from unveil.common.errors import UserError


def import_optional(name: str, *, extra: str) -> ModuleType:
    """Import a package; raises ``UserError`` that names the ``extra`` to install without it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise UserError(f"{name} is not installed; run `pip install 'unveil[{extra}]'`") from None
