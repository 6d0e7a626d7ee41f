"""Training: batches, class weights, best weights, mixup, failures."""

import dataclasses
import functools
from pathlib import Path

import keras
import numpy as np
import pytest
from tests.support import training

from unveil.common.errors import UserError
from unveil.config import params
from unveil.config.schedule import Stage
from unveil.config.schema import STILL
from unveil.dataset import arrays as packs
from unveil.training import checkpoint, loop, train
from unveil.training.batches import Batches, ValidationBatches, one_hot
from unveil.training.callbacks import BestWeights, Patience, RecalibrateBatchNorm, Row


def trained(key: str, loaded: params.Params, record=lambda row: None) -> train.TrainingResult:
    with checkpoint.opened(key, loaded) as kept:
        done = train.train(key, loaded, kept, record)
        kept.remove()
    return done


def order(seed: int, epoch: int) -> list[int]:
    rows = np.arange(10)
    batches = Batches(rows, rows, rows, batch_size=4, seed_and_epoch=(seed, epoch))
    return np.concatenate([batches[index][0] for index in range(batches.steps)]).tolist()


def test_each_epoch_contains_every_row_once_in_a_different_order():
    assert sorted(order(0, 0)) == list(range(10))
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    assert order(0, 3) == order(0, 3)


def test_a_batch_depends_only_on_its_index():
    rows = np.arange(10)
    batches = Batches(rows, rows, rows, batch_size=4, seed_and_epoch=(0, 0))
    ahead = batches[4][0].tolist()
    assert batches[0][0].tolist() == order(0, 0)[:4]
    assert batches[4][0].tolist() == ahead == order(0, 1)[4:8]


def test_the_best_weights_over_all_stages_are_kept():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    best = BestWeights(network)
    for score in (0.2, 0.5, 0.3):
        network.set_weights([np.full((1, 1), score), np.zeros(1)])
        best.on_test_end({"macro_f1": score})
    best.restore()
    assert network.get_weights()[0].item() == pytest.approx(0.5)


def test_averaged_weights_are_validated_with_recalibrated_batch_norm():
    network = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
    network.trainable = True
    (norm,) = network.layers
    before = norm.get_weights()
    generator = np.random.default_rng(0)
    batches = [
        (generator.normal(5, 2, (64, 3)).astype("float32"),)
        for _ in range(RecalibrateBatchNorm.BATCHES)
    ]
    norms = RecalibrateBatchNorm(batches)
    norms.set_model(network)
    norms.on_test_begin()
    every = np.stack([batch for (batch,) in batches])
    assert np.allclose(norm.moving_mean, every.mean((0, 1)), atol=1e-3)
    assert np.allclose(norm.moving_variance, every.var(1).mean(0), atol=1e-2)
    norms.on_test_end()
    assert all(np.array_equal(*pair) for pair in zip(before, norm.get_weights(), strict=True))
    assert norm.momentum == 0.99


def test_the_saved_weights_are_the_average_that_was_validated(packed):
    loaded = training.toy("cnn3_gray")
    history = trained("cnn3_gray", loaded)
    faces = packs.load("validation")
    answers = history.network.predict(faces.images, verbose=0)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=loaded.training.label_smoothing)
    best = history.history.loc[history.history["val_macro_f1"].idxmax(), "val_loss"]
    own = float(loss(one_hot(faces.labels, 4), answers))
    assert own == pytest.approx(best, abs=1e-4)


def test_mixup_mixes_faces_and_labels_with_the_same_ratio():
    rows = np.arange(10, dtype=np.float32)
    batches = Batches(rows, 2 * rows, rows, batch_size=4, seed_and_epoch=(0, 0), mixup=0.4)
    inputs, targets, _ = batches[0]
    assert np.allclose(targets, 2 * inputs)
    assert not np.array_equal(inputs, np.round(inputs))
    assert np.array_equal(batches[0][0], inputs)


def test_mixup_of_an_epoch_is_the_same_in_a_resumed_run():
    rows = np.arange(10, dtype=np.float32)
    whole, resumed = (
        Batches(rows, rows, rows, batch_size=4, seed_and_epoch=(0, first), mixup=0.4)
        for first in (0, 2)
    )
    for place in range(whole.steps):
        assert np.array_equal(whole[2 * whole.steps + place][0], resumed[place][0])
    assert not np.array_equal(whole[0][0], resumed[0][0])


def test_the_same_seed_gives_the_same_training(packed):
    loaded = toy(params.load())
    first, second = (trained("cnn3_gray", loaded).history for _ in range(2))
    same = ["loss", "macro_f1", "val_loss", "val_macro_f1"]
    assert first[same].equals(second[same])


def test_a_toy_task_is_learned(packed):
    loaded = params.load()
    schedule = loaded.schedules["cnn3_gray"]
    stages = tuple(dataclasses.replace(stage, epochs=8, patience=8) for stage in schedule.stages)
    loaded.schedules["cnn3_gray"] = dataclasses.replace(schedule, stages=stages)
    training = dataclasses.replace(loaded.training, augmentation=STILL, batch_size=8)
    history = trained("cnn3_gray", dataclasses.replace(loaded, training=training)).history
    assert history["val_macro_f1"].max() > 0.6


def test_a_non_finite_loss_is_one_line_with_the_learning_rate(packed):
    loaded = toy(params.load())
    # Higher than params.yaml allows, so that it diverges at once.
    for stage in loaded.schedules["cnn3_gray"].stages:
        object.__setattr__(stage, "learning_rate", 1e30)
    with pytest.raises(UserError, match=r"cnn3_gray: .*finite at learning_rate 1e\+30"):
        trained("cnn3_gray", loaded)


def test_an_unknown_layer_is_reported_before_any_stage_runs(packed):
    loaded = params.load()
    schedule = loaded.schedules["cnn3_gray"]
    first, second = schedule.stages
    stages = (first, dataclasses.replace(second, trainable_from="blok2"))
    loaded.schedules["cnn3_gray"] = dataclasses.replace(schedule, stages=stages)
    rows = []
    with pytest.raises(UserError, match="unknown layer in trainable_from 'blok2'"):
        trained("cnn3_gray", loaded, rows.append)
    assert rows == []


def test_class_weights_favour_rare_classes_and_have_mean_1(packed):
    folder = packed / "data/03_packed"
    labels = np.array([0] * 12 + [1] * 2 + [2] * 1 + [3] * 1)
    images = np.zeros((16, 48, 48, 1), np.uint8)
    np.savez(folder / "train.npz", images=images, labels=labels)
    faces = packs.load("train")
    weights = loop.class_weights(faces.labels, classes=4, balanced=True)
    assert weights.mean() == pytest.approx(1)
    assert weights[0] == pytest.approx(weights[-1] / 12)
    assert (loop.class_weights(faces.labels, classes=4, balanced=False) == 1).all()


def test_a_plateau_halves_the_rate_after_half_the_patience_and_stops_after_all_of_it():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    network.compile(optimizer=keras.optimizers.AdamW(0.8), loss="mse")
    stage = Stage(trainable_from="all", epochs=9, learning_rate=0.8, patience=4, decay="plateau")
    patience, rates, ends = Patience(stage), [], []
    patience.set_model(network)
    network.stop_training = False
    for score in (0.5, 0.4, 0.5, 0.6, 0.6, 0.1, 0.2, 0.3):
        patience.on_epoch_end(0, {"val_macro_f1": score})
        rates.append(round(float(network.optimizer.learning_rate), 4))
        ends.append(network.stop_training)
    assert rates == [0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2]
    assert ends == [False] * 7 + [True]


def test_one_hot():
    assert one_hot(np.array([1, 0]), 3).tolist() == [[0, 1, 0], [1, 0, 0]]


def toy(loaded: params.Params, **changes: float) -> params.Params:
    schedule = loaded.schedules["cnn3_gray"]
    stages = tuple(dataclasses.replace(stage, epochs=1, **changes) for stage in schedule.stages)
    loaded.schedules["cnn3_gray"] = dataclasses.replace(schedule, stages=stages)
    return loaded


@pytest.mark.slow
def test_a_run_interrupted_after_any_epoch_resumes_from_there_and_not_from_the_best(packed):
    loaded = training.toy("cnn3_gray", rate=0.3)
    expected = trained("cnn3_gray", loaded)
    scores = expected.history["val_macro_f1"]
    assert scores.idxmax() < len(scores) - 2, "no epoch after the best to be stopped at"
    for epoch in scores.index:
        with pytest.raises(InterruptedError):
            trained("cnn3_gray", loaded, functools.partial(stop, after=epoch))
        again = trained("cnn3_gray", loaded)
        assert training.digest(again.network) == training.digest(expected.network), epoch
        assert again.history["val_macro_f1"].equals(scores), epoch


def stop(row: Row, *, after: int) -> None:
    if row["epoch"] == after:
        raise InterruptedError


def test_validation_batches_are_views_of_the_rows_in_order():
    rows, more = np.arange(10), np.arange(10) * 2
    lots = ValidationBatches(rows, more, size=4)
    assert len(lots) == 3
    assert [len(lots[index][0]) for index in range(3)] == [4, 4, 2]
    assert np.concatenate([lots[index][1] for index in range(3)]).tolist() == more.tolist()
    assert lots[1][0].base is rows


def test_features_are_in_a_temporary_file_that_is_removed_with_them(packed):
    loaded = params.load()
    with checkpoint.opened("cnn3", loaded) as kept:
        before = open_files()
        features = kept.scratch_array((20, 3))
        features[:] = 1
        assert features.shape == (20, 3)
        assert features.sum() == 60
        assert not features.flags.owndata
        assert len(open_files()) > len(before)
        del features
        assert open_files() == before
        with pytest.raises(UserError, match=r"has no room for \d+ bytes of features"):
            kept.scratch_array((1 << 40, 1 << 10))


def open_files() -> list[str]:
    maps = Path("/proc/self/maps").read_text().splitlines()
    return sorted(line.split(maxsplit=5)[5] for line in maps if ".checkpoints" in line)
