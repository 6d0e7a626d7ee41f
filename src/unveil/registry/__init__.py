"""The only door to MLflow: runs, models, and who is champion.

SQLite below ``mlflow/state`` by default, ``MLFLOW_TRACKING_URI`` respected. One experiment and one
registered model, both ``facial-emotion``; one parent run for each train-all, one child run for each
training. A metric has one name in every run.
"""

from unveil.registry.connection import connect
from unveil.registry.runs import (
    PARENT,
    log_files,
    log_report,
    open_run,
    record,
    train_all_run,
    training_run,
)
from unveil.registry.versions import (
    Version,
    champion,
    crown,
    load,
    log_network,
    origin,
    register,
)

__all__ = [
    "PARENT",
    "Version",
    "champion",
    "connect",
    "crown",
    "load",
    "log_files",
    "log_network",
    "log_report",
    "open_run",
    "origin",
    "record",
    "register",
    "train_all_run",
    "training_run",
]
