"""The only door to MLflow: runs, models, and who is champion.

SQLite below ``mlflow/state`` by default, ``MLFLOW_TRACKING_URI`` respected. One experiment and one
registered model, both ``facial-emotion``; one parent run for each train-all, one child run for each
training; one run for each decision in ``facial-emotion-promotions``. A metric has one name in every
run. A training never waits for MLflow: it reports from a
thread of its own, and ``publish`` tells a server later, from files, what it does not know yet.
"""

from unveil.registry.bundles import bundle_digests, store_bundle, stored_bundle
from unveil.registry.cards import add_card
from unveil.registry.connection import NAME, attempt, connect, place
from unveil.registry.decisions import record
from unveil.registry.description import page_of
from unveil.registry.erasure import mark_erased
from unveil.registry.evaluated import Training, evaluated, reported
from unveil.registry.ledger import Entry, Overtaken
from unveil.registry.publish import attach, faces, origin, publish
from unveil.registry.reporter import reporting
from unveil.registry.reports import faces_of, report
from unveil.registry.runs import PARENT, abandon, log_files, open_run, train_all_run
from unveil.registry.versions import (
    Reign,
    Version,
    aliased,
    champion,
    crown,
    found,
    load,
    register,
    reign,
    settle,
    verified,
)

__all__ = [
    "NAME",
    "PARENT",
    "Entry",
    "Overtaken",
    "Reign",
    "Training",
    "Version",
    "abandon",
    "add_card",
    "aliased",
    "attach",
    "attempt",
    "bundle_digests",
    "champion",
    "connect",
    "crown",
    "evaluated",
    "faces",
    "faces_of",
    "found",
    "load",
    "log_files",
    "mark_erased",
    "open_run",
    "origin",
    "page_of",
    "place",
    "publish",
    "record",
    "register",
    "reign",
    "report",
    "reported",
    "reporting",
    "settle",
    "store_bundle",
    "stored_bundle",
    "train_all_run",
    "verified",
]
