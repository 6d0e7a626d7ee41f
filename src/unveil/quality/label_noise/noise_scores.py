"""described faces and labels -> how much each label is to be doubted, by models that never saw it.

For `unveil data audit`: probabilities from models of the other folds, each kept as it is made, and
how many labels are wrong.
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
from unveil.common.files import reading, replacing
from unveil.config.params import Params
from unveil.quality.label_noise.hog_features import Features

LANDMARKS = 1000

Probabilities = NDArray[np.float64]


def out_of_fold(
    described: Sequence[Features], faces: pd.DataFrame, params: Params, folder: Path
) -> Probabilities:
    """Give each face's probabilities ``(n, classes)``, by models that saw none of its lookalikes.

    They are the mean over one model for each of ``described``, which are as `hog` describes faces.
    Faces of equal ``dhash``, so all exact twins, are in one fold. Folds in ``folder`` already are
    read, not made. Too few faces of a class is a ``UserError``.
    """
    _require_enough(faces, params)
    labels = faces["label"].map(params.classes.index).to_numpy()
    splitter = StratifiedGroupKFold(params.audit.folds, shuffle=True, random_state=params.data.seed)
    # One thread: the sums of several differ in their last digits.
    with threadpool_limits(1):
        parts = splitter.split(labels, labels, groups=faces["dhash"])
        probabilities = np.zeros((len(faces), len(params.classes)))
        for number, (others, judged) in enumerate(tqdm(parts, "judge", total=params.audit.folds)):
            path = folder / f"fold{number}.npy"
            if not path.exists():
                given = np.zeros((len(judged), len(params.classes)))
                for features in described:
                    model = _learned(features[others], labels[others], params.data.seed)
                    given[:, model.classes_] += _judge(model, features[judged]) / len(described)
                with replacing(path) as temporary, temporary.open("wb") as file:
                    np.save(file, given)
            with reading(path, made_by=f"rm {path}; unveil data audit"):
                probabilities[judged] = np.load(path, allow_pickle=False)
    return probabilities


def _require_enough(faces: pd.DataFrame, params: Params) -> None:
    counts = faces.groupby("label")["dhash"].nunique().reindex(params.classes, fill_value=0)
    if counts.min() < params.audit.folds:
        raise UserError(
            f"{counts.idxmin()} has {counts.min()} different faces, too few to audit in "
            f"{params.audit.folds} folds; lower audit.folds in params.yaml or add faces"
        )


def _learned(described: Features, labels: NDArray[np.int64], seed: int) -> Pipeline:
    # A face and its mirror image are two faces to learn from.
    features, twice = described.reshape(-1, described.shape[-1]), np.repeat(labels, 2)
    spread = float(features.var(0).sum())
    landmarks = min(LANDMARKS, len(features))
    kernel = Nystroem(gamma=1 / spread, n_components=landmarks, random_state=seed)
    model = make_pipeline(kernel, LogisticRegression(C=5, max_iter=200, tol=1e-3))
    return model.fit(features, twice)


def _judge(model: Pipeline, described: Features) -> Probabilities:
    both = [model.predict_proba(described[:, mirror]) for mirror in (0, 1)]
    mean: Probabilities = np.mean(both, axis=0)
    return mean


def explained(
    labels: NDArray[np.int64], probabilities: Probabilities
) -> tuple[Probabilities, float]:
    """Give the probabilities as sharp as the labels bear out, and the share of wrong labels.

    A label is taken for drawn by the sharpened probabilities or, with that share, from the other
    classes at random: the forward model of G. Patrini et al. (CVPR 2017) with one rate of noise.
    Sharpness and rate are those under which the labels are most likely.
    """
    logarithms = np.log(probabilities.clip(1e-30))
    others = probabilities.shape[1] - 1

    def unlikelihood(point: NDArray[np.float64]) -> float:
        sharp = softmax(logarithms * np.exp(point[0]), axis=1)
        right, rate = sharp[np.arange(len(labels)), labels], point[1]
        return -float(np.log((1 - rate) * right + rate / others * (1 - right) + 1e-300).sum())

    # Nelder and Mead's simplex sticks at a rate of 0 where the model is weak.
    best = minimize(unlikelihood, x0=(0, 0.05), method="L-BFGS-B", bounds=((-2, 2), (0, 0.5))).x
    return softmax(logarithms * np.exp(best[0]), axis=1), float(best[1])
