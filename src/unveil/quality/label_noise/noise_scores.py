"""Out-of-fold class probabilities of faces, and an estimate of the share of wrong labels.

For `unveil data audit`: cross-validated classifiers, cached by fold, and a noise model.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from unveil.common.errors import UserError
from unveil.common.files import atomic_write, reading_artifact
from unveil.config.params import Params
from unveil.quality.label_noise.hog_features import Features

LANDMARKS = 1000

Probabilities = NDArray[np.float64]


def out_of_fold_probabilities(
    described: Sequence[Features], faces: pd.DataFrame, params: Params, folder: Path
) -> Probabilities:
    """Return the probabilities ``(n, classes)`` of faces by models that were not trained on them.

    They are averaged over one model for each set of HOG features in ``described``. Faces with equal
    ``dhash``, and so all exact duplicates, are in the same fold. Folds cached in ``folder`` are not
    computed again. Raises ``UserError`` for too few faces of a class.
    """
    _require_enough(faces, params)
    labels = faces["label"].map(params.classes.index).to_numpy()
    splitter = StratifiedGroupKFold(params.audit.folds, shuffle=True, random_state=params.data.seed)
    # One thread: with several, sums differ in their last digits.
    with threadpool_limits(1):
        parts = splitter.split(labels, labels, groups=faces["dhash"])
        probabilities = np.zeros((len(faces), len(params.classes)))
        for number, (others, judged) in enumerate(
            tqdm(parts, "cross-validate", total=params.audit.folds)
        ):
            path = folder / f"fold{number}.npy"
            if not path.exists():
                given = np.zeros((len(judged), len(params.classes)))
                for features in described:
                    model = _fit(features[others], labels[others], params.data.seed)
                    given[:, model.classes_] += _predict(model, features[judged]) / len(described)
                with atomic_write(path) as temporary, temporary.open("wb") as file:
                    np.save(file, given)
            with reading_artifact(path, made_by=f"rm {path}; unveil data audit"):
                probabilities[judged] = np.load(path, allow_pickle=False)
    return probabilities


def _require_enough(faces: pd.DataFrame, params: Params) -> None:
    counts = faces.groupby("label")["dhash"].nunique().reindex(params.classes, fill_value=0)
    if counts.min() < params.audit.folds:
        raise UserError(
            f"{counts.idxmin()} has {counts.min()} different faces, too few to audit in "
            f"{params.audit.folds} folds; lower audit.folds in params.yaml or add faces"
        )


def _fit(described: Features, labels: NDArray[np.int64], seed: int) -> Pipeline:
    # A face and its mirror image are two training samples.
    features, targets = described.reshape(-1, described.shape[-1]), np.repeat(labels, 2)
    spread = float(features.var(0).sum())
    landmarks = min(LANDMARKS, len(features))
    kernel = Nystroem(gamma=1 / spread, n_components=landmarks, random_state=seed)
    model = make_pipeline(kernel, LogisticRegression(C=5, max_iter=200, tol=1e-3))
    return model.fit(features, targets)


def _predict(model: Pipeline, described: Features) -> Probabilities:
    both = [model.predict_proba(described[:, mirror]) for mirror in (0, 1)]
    mean: Probabilities = np.mean(both, axis=0)
    return mean


def fit_noise_model(
    labels: NDArray[np.int64], probabilities: Probabilities
) -> tuple[Probabilities, float]:
    """Calibrate the probabilities ``(n, classes)`` to the labels, and estimate the noise rate.

    Model: a label is sampled from the calibrated probabilities or, with the noise rate, uniformly
    from the other classes (the forward model of G. Patrini et al., CVPR 2017, with one rate).
    Temperature and noise rate are the maximum likelihood estimates. Returns the calibrated
    probabilities and the rate, 0 to 0.5.
    """
    logarithms = np.log(probabilities.clip(1e-30))
    others = probabilities.shape[1] - 1

    def negative_log_likelihood(point: NDArray[np.float64]) -> float:
        sharp = softmax(logarithms * np.exp(point[0]), axis=1)
        right, rate = sharp[np.arange(len(labels)), labels], point[1]
        return -float(np.log((1 - rate) * right + rate / others * (1 - right) + 1e-300).sum())

    # The Nelder-Mead method gets stuck at a rate of 0 if the model is weak.
    best = minimize(
        negative_log_likelihood, x0=(0, 0.05), method="L-BFGS-B", bounds=((-2, 2), (0, 0.5))
    ).x
    return softmax(logarithms * np.exp(best[0]), axis=1), float(best[1])
