"""The extras of the package: which one installs a module that is missing."""

import importlib
from types import ModuleType

from unveil.common.errors import UserError

SERVE = {"fastapi", "prometheus_client", "psutil", "starlette", "uvicorn", "websockets"}
"""Modules of the extra `serve`; all others that the base lacks are in `train`, but for these."""
OTHER = {"jax": "jax", "jaxlib": "jax", "pynvml": "gpu"}


def import_optional(name: str) -> ModuleType:
    """Import a module; raises ``UserError`` that names the extra to install without it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise missing_extra(error) or error from None


def missing_extra(error: ModuleNotFoundError) -> UserError | None:
    """Describe a missing module by the extra that installs it; ``None`` if it is our own."""
    module = (error.name or "").partition(".")[0]
    if module in {"", "unveil", "flows"}:
        return None
    extra = OTHER.get(module, "serve" if module in SERVE else "train")
    install = f"`pip install '.[{extra}]'` in the folder of unveil"
    return UserError(f"{module} is not installed; it is in the extra {extra}: run {install}")
