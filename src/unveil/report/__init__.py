"""all of a train-all -> one page for people, which opens from disk, offline.

Takes the comparison with its reports and, where they are there, the decision, the verdict on the
data, explanations and what each training wrote of itself; makes ``data/05_reports/report.html``. It
holds no picture of a face. Command: ``unveil report``.
"""

from pathlib import Path

from unveil import compare, page
from unveil.params import Params
from unveil.paths import REPORT
from unveil.report import facts
from unveil.report.words import counted, marked, number, percent, words

TEMPLATE = Path(__file__).parent / "report.html"


def make(params: Params) -> Path:
    """Write the page; gives its path."""
    comparison = compare.read()
    filters = {one.__name__: one for one in (counted, marked, number, percent, words)}
    page.write(REPORT, TEMPLATE, facts.gathered(comparison, params), filters)
    return REPORT
