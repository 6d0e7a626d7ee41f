"""Write the HTML report of a train-all: one self-contained page that works offline.

Input: the comparison with its reports and, if present, the promotion decision, the validation
result, explanations and ``run.json`` of each training. Output: ``data/05_reports/report.html``. It
contains no image of a face, unless all are drawn by `unveil sample`. Command: ``unveil report``.
"""

from pathlib import Path

from unveil.common.paths import REPORT
from unveil.config.params import Params
from unveil.evaluation.model_comparison import read_comparison
from unveil.rendering import html
from unveil.reporting import report_data
from unveil.reporting.wording import counted, decimals, inline_html, number, score, words

TEMPLATE = Path(__file__).parent / "report.html"


def make(params: Params) -> Path:
    """Write the report; return its path."""
    filters = {one.__name__: one for one in (counted, decimals, inline_html, number, score, words)}
    html.write(REPORT, TEMPLATE, report_data.collect(read_comparison(), params), filters)
    return REPORT
