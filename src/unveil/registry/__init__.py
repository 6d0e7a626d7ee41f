"""The only package that imports MLflow: runs, model versions and the champion.

The tracking server is ``MLFLOW_TRACKING_URI``, by default a SQLite database in ``mlflow/state``.
One experiment and one registered model, both named ``facial-emotion``: one parent run per
train-all, one child run per training. One run per promotion decision in the experiment
``facial-emotion-promotions``; the record of champions in ``facial-emotion-champions``. A metric has
the same name in every run. A training never waits for MLflow: a background thread logs it, and
``publish`` later logs from files what a server lacks.
May import: common, config, data, evaluation, inference, training.
"""

from unveil.registry.bundles import bundle_digests, store_bundle, stored_bundle
from unveil.registry.cards import add_card
from unveil.registry.champion_history import ChampionChanged, HistoryEntry
from unveil.registry.connection import NAME, connect, server_name, try_or_warn
from unveil.registry.description import artifact_url, trainings_url
from unveil.registry.epoch_reporter import reporting
from unveil.registry.erasure import mark_erased
from unveil.registry.evaluated_trainings import Training, evaluated_trainings, training_report
from unveil.registry.promotion_log import record_decision
from unveil.registry.publish import attach_folder, face_source, publish, training_origin
from unveil.registry.reports import face_source_of, version_report
from unveil.registry.runs import PARENT, log_files, mark_killed, open_run, train_all_run
from unveil.registry.sweep_runs import end_trial, sweep_run, trial_tags
from unveil.registry.versions import (
    ChampionRecord,
    Version,
    aliased_version,
    champion,
    champion_record,
    find_version,
    load,
    register,
    set_champion,
    sync_alias,
    verified_files,
)

__all__ = [
    "NAME",
    "PARENT",
    "ChampionChanged",
    "ChampionRecord",
    "HistoryEntry",
    "Training",
    "Version",
    "add_card",
    "aliased_version",
    "artifact_url",
    "attach_folder",
    "bundle_digests",
    "champion",
    "champion_record",
    "connect",
    "end_trial",
    "evaluated_trainings",
    "face_source",
    "face_source_of",
    "find_version",
    "load",
    "log_files",
    "mark_erased",
    "mark_killed",
    "open_run",
    "publish",
    "record_decision",
    "register",
    "reporting",
    "server_name",
    "set_champion",
    "store_bundle",
    "stored_bundle",
    "sweep_run",
    "sync_alias",
    "train_all_run",
    "training_origin",
    "training_report",
    "trainings_url",
    "trial_tags",
    "try_or_warn",
    "verified_files",
    "version_report",
]
