"""all of a train-all -> one page for people, which opens from disk, offline.

Takes the comparison with its reports and, where they are there, the decision, the verdict on the
data, explanations and what each training wrote of itself; makes ``data/05_reports/report.html``. It
holds no picture of a face. Command: ``unveil report``.
"""

from pathlib import Path

import jinja2

from unveil.files import read_json, replacing
from unveil.params import Params
from unveil.paths import COMPARISON, REPORT
from unveil.report import facts
from unveil.report.words import marked, number, percent, words


def make(params: Params) -> Path:
    """Write the page; gives its path."""
    comparison = read_json(COMPARISON, made_by="unveil compare")
    # Names of classes, groups and rules' examples may be anybody's text: everything is escaped.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "marked": marked,
        "number": number,
        "percent": percent,
        "words": words,
    }
    page = environment.get_template("report.html").render(facts.gathered(comparison, params))
    with replacing(REPORT) as path:
        path.write_text(page, encoding="utf-8")
    return REPORT
