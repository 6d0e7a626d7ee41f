"""Evaluation is fast: the report of one network, and the comparison of eight."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.conftest import rows

from unveil.common.files import sha256, write_json
from unveil.common.paths import MODELS, PACKED, REPORTS
from unveil.config import params
from unveil.evaluation import evaluate, model_comparison, predictions
from unveil.evaluation.predictions import Predictions

COUNTS = {"train": 20_181, "validation": 1_287, "test": 1_283}
KEYS = ("cnn3", "cnn3_gray", "cnn4", "cnn4_gray", "cnn5_gray", "vgg16", "resnetv2", "efficientnet")
HISTORY = pd.DataFrame(
    {
        "epoch": range(40),
        "stage": np.repeat([1, 2], 20),
        **dict.fromkeys(("seconds", "loss", "val_loss", "macro_f1", "val_macro_f1"), 0.5),
    }
)


@contextmanager
def within(seconds: float, what: str) -> Iterator[None]:
    began, worked = time.perf_counter(), time.process_time()
    yield
    # CPU time of all threads: an upper bound of the time on an idle machine.
    work = time.process_time() - worked
    print(f"{what}: {work:.1f} s of work in {time.perf_counter() - began:.1f} s")
    assert work < seconds


def answered(name: str, count: int) -> Predictions:
    """Write the rows of many faces with six attributes, and predict them mostly correctly."""
    generator = np.random.default_rng(count)
    labels = np.arange(count) % 4
    table = rows(name, generator.integers(0, 256, (count, 64), dtype=np.uint8), labels)
    groups = {f"group{i}": generator.choice(["a", "b", "c"], count) for i in range(5)}
    table.assign(**groups).to_parquet(PACKED / f"{name}.parquet")
    logits = generator.normal(size=(count, 4)) + 2 * np.eye(4)[labels]
    powers = np.exp(logits)
    return Predictions(labels, (powers / powers.sum(1, keepdims=True)).astype(np.float32))


@pytest.mark.slow
def test_a_report_takes_under_a_minute_and_a_comparison_under_ten_seconds(place):
    PACKED.mkdir(parents=True)
    (PACKED / "test.npz").write_bytes(b"images")
    loaded = params.load()
    answers = {name: answered(name, count) for name, count in COUNTS.items()}
    with within(60, "everything about one network beyond inference"):
        metrics = evaluate.prediction_sections("cnn3", answers, loaded)
        metrics |= {"architecture": "cnn3", "recipe": "full"}
        table = predictions.table(answers["test"], loaded.classes)
        evaluate._write(REPORTS / "cnn3", metrics, table, HISTORY)
    costs = dict.fromkeys(("parameters", "bytes", "epochs", "seconds_per_epoch", "seconds"), 1)
    for key in KEYS:
        (MODELS / key).mkdir(parents=True)
        (MODELS / key / "model.keras").write_bytes(key.encode())
        digests = {"model_digest": sha256(MODELS / key / "model.keras")}
        digests["test_digest"] = sha256(PACKED / "test.npz")
        if key != "cnn3":
            shutil.copytree(REPORTS / "cnn3", REPORTS / key)
        report = metrics | digests | costs | {"architecture": key}
        write_json(REPORTS / key / "metrics.json", report)
    with within(10, "eight networks compared"):
        result = model_comparison.compare(
            replace(loaded, architectures={key: loaded.architectures[key] for key in KEYS})
        )
    assert len(result["ranking"]) == len(KEYS)
