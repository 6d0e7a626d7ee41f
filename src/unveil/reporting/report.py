"""all of a train-all -> one page for people, which opens from disk, offline.

Takes the comparison with its reports and, where they are there, the decision, the verdict on the
data, explanations and what each training wrote of itself; makes ``data/05_reports/report.html``. It
holds no picture of a face. Command: ``unveil report``.
"""

from pathlib import Path

from unveil.common.files import read_json
from unveil.common.paths import COMPARISON, REPORT
from unveil.config.params import Params
from unveil.rendering import html
from unveil.reporting import facts
from unveil.reporting.wording import counted, marked, number, percent, words

TEMPLATE = Path(__file__).parent / "report.html"


def make(params: Params) -> Path:
    """Write the page; gives its path."""
    comparison = read_json(COMPARISON, made_by="unveil compare")
    filters = {one.__name__: one for one in (counted, marked, number, percent, words)}
    html.write(REPORT, TEMPLATE, facts.gathered(comparison, params), filters)
    return REPORT
