"""Augmentation: which changes, how large, and only in training."""

import dataclasses

import keras
import numpy as np
import pytest

from unveil.config.schema import STILL
from unveil.training.augmentation import augmentation

FACES = np.random.default_rng(0).integers(0, 256, (64, 48, 48, 1)).astype("float32")


def changed(faces: np.ndarray = FACES, *, training: bool = True, **amounts: float) -> np.ndarray:
    network = augmentation(dataclasses.replace(STILL, **amounts))
    return keras.ops.convert_to_numpy(network(faces, training=training))


def test_faces_are_augmented_only_in_training():
    amounts = {"flip": True, "rotation": 0.1, "shift": 0.1, "zoom": 0.1, "contrast": 0.3}
    assert np.array_equal(changed(training=False, **amounts, blur=1, erasing=0.5), FACES)
    moved = changed(**amounts)
    assert not np.allclose(moved, FACES)
    assert np.array_equal(moved, np.round(moved))
    assert moved.min() >= 0 and moved.max() <= 255
    assert np.array_equal(changed(), FACES)


def test_a_flipped_face_is_the_face_or_its_mirror_image():
    flipped = changed(flip=True)
    same = [np.array_equal(*pair) for pair in zip(flipped, FACES, strict=True)]
    mirrored = [np.array_equal(*pair) for pair in zip(flipped, FACES[:, :, ::-1], strict=True)]
    assert all(one != other for one, other in zip(same, mirrored, strict=True))
    assert 16 < sum(mirrored) < 48


def blob(x: int, y: int) -> np.ndarray:
    """Many black faces with a white square of 3 pixels around a position."""
    faces = np.zeros((64, 48, 48, 1), np.float32)
    faces[:, y - 1 : y + 2, x - 1 : x + 2] = 255
    return faces


def centres(faces: np.ndarray) -> np.ndarray:
    rows, columns = np.mgrid[:48, :48]
    weights = faces[..., 0] / faces.sum(axis=(1, 2, 3))[:, None, None]
    return np.stack([(weights * columns).sum((1, 2)), (weights * rows).sum((1, 2))], axis=1)


def test_a_shift_is_at_most_its_share_of_the_face():
    away = centres(changed(blob(24, 24), shift=0.1)) - 24
    assert np.abs(away).max() <= 4.8 + 0.1
    assert np.abs(away).max(axis=0) == pytest.approx([4.8, 4.8], abs=1)


def test_a_rotation_about_the_centre_is_at_most_its_share_of_a_turn():
    away = centres(changed(blob(40, 24), rotation=0.05)) - 23.5
    angles = np.arctan2(away[:, 1], away[:, 0]) / (2 * np.pi)
    assert np.linalg.norm(away, axis=1) == pytest.approx(np.full(64, 16.5), abs=0.3)
    assert 0.03 < np.abs(angles).max() <= 0.05 + 0.01


def test_a_zoom_about_the_centre_is_at_most_its_share():
    away = centres(changed(blob(40, 24), zoom=0.1))[:, 0] - 23.5
    assert 16.5 / 1.1 - 0.3 <= away.min() < away.max() <= 16.5 / 0.9 + 0.3


def test_a_blur_smooths_faces_with_its_probability_and_darkens_no_edge():
    keras.utils.set_random_seed(0)
    blurred = augmentation(dataclasses.replace(STILL, blur=0.25))
    batches = [keras.ops.convert_to_numpy(blurred(FACES, training=True)) for _ in range(8)]
    left = np.stack([batch.std(axis=(1, 2, 3)) for batch in batches]) / FACES.std(axis=(1, 2, 3))
    share = (left < 0.99).mean(axis=1)
    assert 0.1 < share.max() < 0.4  # sigma is drawn per batch and may be close to 0
    assert 0.2 < left.min() < 0.7 < left.max() == 1
    gray = np.full((64, 48, 48, 1), 90, np.float32)
    assert np.array_equal(changed(gray, blur=1), gray)


def test_erasing_fills_2_to_33_percent_of_faces_with_its_probability():
    grey = np.full((256, 48, 48, 1), 90, np.float32)
    share = (changed(grey, erasing=0.25) != 90).mean(axis=(1, 2, 3))
    assert 32 < (share > 0).sum() < 96
    assert 0.01 < share[share > 0].min() < share.max() < 0.4
