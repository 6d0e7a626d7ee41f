"""Drawn faces of the test split with their predictions, for the top of the report."""

from typing import Any

from unveil.common.files import sha256
from unveil.common.paths import PACKED, REPORTS
from unveil.data import synthetic
from unveil.dataset import arrays
from unveil.evaluation import predictions
from unveil.rendering import html

PER_CLASS = 3
"""Faces shown of each class."""


def examples(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the first faces of each class: picture (base64 PNG), label and prediction.

    Empty unless every face of the test split is drawn by `unveil sample`, as pictures of people do
    not belong in a report, and the report is about these faces.
    """
    path = PACKED / "test.npz"
    if not path.exists() or report["test_digest"] != sha256(path):
        return []
    if not synthetic.are_all_drawn(arrays.load_metadata("test")["member"]):
        return []
    key, images = report["architecture"], arrays.load("test").images
    answers = predictions.rows(REPORTS / key, made_by=f"unveil evaluate {key}")
    return [
        {
            "picture": html.png_base64(images[place][..., 0]),
            "actual": answers["actual"][place],
            "predicted": answers["predicted"][place],
        }
        for place in answers.groupby("actual").head(PER_CLASS).sort_values("actual").index
    ]
