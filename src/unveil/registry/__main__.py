"""`python -m unveil.registry` creates the local database before `mlflow server` opens it."""

import sys

from unveil.common.errors import UserError
from unveil.common.paths import TRACKING
from unveil.registry import database
from unveil.registry.connection import DATABASE, mlflow_errors

try:
    with mlflow_errors():
        database.ensure_ready(TRACKING.absolute() / DATABASE)
except UserError as error:
    print(f"unveil: {error}", file=sys.stderr)
    sys.exit(2)
