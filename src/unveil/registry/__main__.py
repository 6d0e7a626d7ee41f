"""`python -m unveil.registry` makes the local database, so that `mlflow server` finds it whole."""

import sys

from unveil.common.errors import UserError
from unveil.common.paths import TRACKING
from unveil.registry import database
from unveil.registry.connection import DATABASE, answering

try:
    with answering():
        database.ready(TRACKING.absolute() / DATABASE)
except UserError as error:
    print(f"unveil: {error}", file=sys.stderr)
    sys.exit(2)
