"""The columns that the user's ``attributes.csv`` added to the manifest or to packed faces."""

from collections.abc import Collection

import pandas as pd

from unveil.config.schema import COLUMNS


def count_groups(faces: pd.DataFrame, *, leave_out: Collection[str]) -> dict[str, int]:
    """Return the number of distinct values of each such column, by name, without ``leave_out``."""
    own = {*COLUMNS, "quarantine", *leave_out}
    return {name: faces[name].nunique() for name in sorted(faces.columns) if name not in own}
