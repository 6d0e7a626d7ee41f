"""The report shows the values of the artifacts, and opens offline in a real browser."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.browser import page as opened

from unveil.common.errors import UserError
from unveil.common.files import sha256, write_json
from unveil.common.paths import (
    COMPARISON,
    EXPLANATIONS,
    MODELS,
    PACKED,
    PROMOTION,
    REPORT,
    REPORTS,
    VALIDATION,
)
from unveil.config import params
from unveil.evaluation import model_comparison, predictions, report_sections
from unveil.evaluation.calibration_section import calibration_section
from unveil.evaluation.predictions import Predictions
from unveil.rendering import plots
from unveil.reporting import report
from unveil.reporting.wording import counted, inline_html, number, score

WRONG = {"cnn3": range(10), "cnn5_small_gray": range(10, 24), "vgg16": range(120)}
"""Which of the images each network gets wrong: the first two are a tie."""


def answered(key: str) -> Predictions:
    truth = np.arange(200) % 4
    named = truth.copy()
    named[WRONG[key]] = (truth[WRONG[key]] + 1) % 4
    return Predictions(truth, (0.1 + 0.6 * np.eye(4)[named]).astype(np.float32))


def sections(answers: Predictions, loaded: params.Params) -> dict:
    """The sections of a report besides its scores; older reports lack them."""
    count = len(answers.truth)
    draws = np.random.default_rng(0).random((3, count))
    rows = pd.DataFrame(dict(zip(("brightness", "contrast", "sharpness"), draws, strict=True)))
    rows = rows.assign(glasses=np.where(np.arange(count) < 20, "<yes>", "no"))
    gap = report_sections.generalization_gap(answers, answers)
    return {
        "calibration": calibration_section(answers, answers, loaded.decision, loaded.classes),
        "slices": report_sections.slice_section(answers, rows, rows, loaded),
        "overfitting": {"gap": gap},
    }


def evaluated(key: str, loaded: params.Params) -> None:
    answers, classes = answered(key), loaded.classes
    folder, model = REPORTS / key, MODELS / key / "model.keras"
    for path in (folder, model.parent):
        path.mkdir(parents=True)
    model.write_text(key)
    split = report_sections.scores(answers, classes)
    cost = {"parameters": 94436, "bytes": 420000, "epochs": 7, "seconds_per_epoch": 4.5}
    digests = {"model_digest": sha256(model), "test_digest": sha256(PACKED / "test.npz")}
    named = {"architecture": key, "recipe": "sample", "seconds": 40.1}
    splits = dict.fromkeys(("train", "validation", "test"), split)
    more = sections(answers, loaded) if key == "cnn3" else {}
    write_json(folder / "metrics.json", {**named, **digests, **splits, **cost, **more})
    predictions.table(answers, classes).to_csv(folder / "predictions.csv", index=False)
    plots.confusion_matrix(folder / "confusion.png", split["confusion"], classes)
    history = {"epoch": [0, 1], "stage": [1, 2]}
    measures = ("loss", "macro_f1", "val_loss", "val_macro_f1")
    if key == "cnn3":
        rows = pd.DataFrame(history).assign(**dict.fromkeys(measures, 0.5))
        plots.learning_curves(folder / "curves.png", rows, title=key)
    tags = {"git_commit": "abc123", "hardware.cpu": "a <fast> one", "mlflow.parentRunId": "hidden"}
    data = {"archive": {"path": "data/01_raw/faces.zip", "md5": "f" * 32}}
    made = {"tags": tags, "data": data, "origin": f"origin of {key}"}
    write_json(MODELS / key / "run.json", {**made, "parameters": {"stage1.epochs": "1"}})


@pytest.fixture
def compared(packed) -> params.Params:
    loaded = params.load()
    for key in WRONG:
        evaluated(key, loaded)
    model_comparison.compare(loaded)
    return loaded


def decided() -> None:
    checks = [
        {"name": "finite", "passed": True, "said": "weights and probabilities are finite"},
        {"name": "better", "passed": False, "said": "a tie with the <champion>"},
    ]
    decision = {"candidate": "cnn3", "promoted": False, "previous": "3", "checks": checks}
    write_json(PROMOTION, {**decision, "reason": "a tie with the <champion>"})
    rules = [
        {"sentence": "Every image is readable.", "status": "kept"},
        {"sentence": "Labels do not depend on <light>.", "status": "warned"},
    ]
    write_json(VALIDATION, {"passed": True, "rules": rules})


def explained() -> None:
    folder = EXPLANATIONS / "cnn3"
    folder.mkdir(parents=True)
    score = {"value": 0.3, "low": 0.2, "high": 0.4}
    both = {"deletion": score, "insertion": score}
    found = {
        "images": 64,
        "faithful": {"gradcam": False},
        "scores": {"gradcam": both, "random": both},
    }
    model = sha256(MODELS / "cnn3/model.keras")
    write_json(folder / "explanation.json", {**found, "model_digest": model})


def test_the_report_works_without_decision_validation_or_explanation(compared):
    assert report.make(compared) == REPORT
    text = REPORT.read_text()
    for expected in ("not decided", "not validated", "data was not validated", "unveil promote"):
        assert expected in text
    assert "Synthetic" not in text and "Explanation" not in text


def test_the_report_shows_ranking_ties_and_the_refusal(compared):
    decided()
    report.make(compared)
    text = REPORT.read_text()
    first = json.loads((REPORTS / "cnn3/metrics.json").read_text())["test"]["macro_f1"]
    assert score(first) in text
    assert text.count('<span class="chip">tie</span>') == 1
    assert "did not become champion" in text and "a tie with the &lt;champion&gt;" in text
    assert "Labels do not depend on &lt;light&gt;." in text
    assert "a &lt;fast&gt; one" in text and "hidden" not in text
    assert text.index("cnn3</a>") < text.index("vgg16</a>")


def test_slices_and_calibration_are_shown_if_available(compared):
    report.make(compared)
    text = REPORT.read_text()
    assert text.count("<h3>Calibration and abstention</h3>") == 1
    assert "glasses = &lt;yes&gt;" in text and "insufficient data" in text
    assert "On 200 training images" in text
    assert "target kept on validation" in text and "ECE" in text


def test_drawn_faces_are_shown_and_pictures_of_people_are_not(compared):
    report.make(compared)
    assert 'class="faces"' not in REPORT.read_text()
    path = PACKED / "test.parquet"
    rows = pd.read_parquet(path)
    count = len(rows)
    drawn = [f"sample/test/happy/test_happy_{place:04}.png" for place in range(count)]
    rows.assign(member=drawn).to_parquet(path)
    report.make(compared)
    assert REPORT.read_text().count('alt="drawn face, ') == 12
    rows.assign(member=[*drawn[1:], "test/me.png"]).to_parquet(path)
    report.make(compared)
    assert 'class="faces"' not in REPORT.read_text()


def test_an_explanation_of_another_network_is_left_out(compared):
    explained()
    report.make(compared)
    assert "not shown faithful" in REPORT.read_text()
    path = EXPLANATIONS / "cnn3/explanation.json"
    write_json(path, {**json.loads(path.read_text()), "model_digest": "other"})
    report.make(compared)
    assert "not shown faithful" not in REPORT.read_text()


def test_a_missing_comparison_names_the_command_that_makes_it(place):
    with pytest.raises(UserError, match="run `unveil compare`"):
        report.make(params.load())


def test_it_opens_in_a_browser_without_any_network(compared, tmp_path):
    decided()
    explained()
    report.make(compared)
    with opened() as (tab, outside):
        wrong: list[str] = []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda message: wrong.append(message.text))
        tab.goto(REPORT.absolute().as_uri())
        tab.screenshot(path=tmp_path / "report.png", full_page=True)
        assert tab.get_by_role("heading", level=1).inner_text().startswith("Apparent expression")
        headings = tab.get_by_role("heading", level=2).all_inner_texts()
        assert headings[:3] == ["Leaderboard", "Promotion decision", "Data"]
        rows = tab.locator("#leaderboard tbody tr")
        assert [row.locator("td").first.inner_text() for row in rows.all()] == [*WRONG]
        tab.locator("#vgg16 > summary").click()
        pictures = tab.get_by_role("img").all()
        widths = [one.evaluate("img => img.naturalWidth ?? 1") for one in pictures]
        assert len(widths) == 3 + 2 + 1 and min(widths) > 0
        assert tab.title() == "unveil: cnn3, the best of 3 networks"
        for width in (1280, 390):
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
        assert (wrong, outside) == ([], [])


def test_the_leaderboard_fits_a_screen_of_1280_pixels(compared):
    decided()
    write_json(PROMOTION, {**json.loads(PROMOTION.read_text()), "latency": 12.3})
    comparison = json.loads(COMPARISON.read_text())
    cost = {"parameters": 24_111_222, "bytes": 124_800_000, "epochs": 142, "seconds": 86_400.1}
    for key, one in comparison["reports"].items():
        one.update(cost)
        comparison["conditions"][key] = ["trained on 2,000 of 21,005 images", "random backbone"]
    write_json(COMPARISON, comparison)
    report.make(compared)
    with opened() as (tab, _):
        tab.set_viewport_size({"width": 1280 - 16, "height": 900})  # a scroll bar takes the rest
        tab.goto(REPORT.absolute().as_uri())
        excess = "table => table.scrollWidth - table.clientWidth"
        assert tab.locator("#leaderboard .wide").evaluate(excess) == 0


@given(st.text())
def test_text_never_becomes_markup(text):
    kept = inline_html(text)
    for tag in ("<b>", "</b>", "<code>", "</code>"):
        kept = kept.replace(tag, "")
    assert "<" not in kept and ">" not in kept


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (3.0, "3"),
        (0.12345, "0.123"),
        (0.00012, "1.2e-04"),
    ],
)
def test_numbers_are_formatted_briefly(value, text):
    assert number(value) == text


def test_counts_use_singular_and_plural():
    assert [counted(n, "rule") for n in (0, 1, 1200)] == ["0 rules", "1 rule", "1,200 rules"]


def test_a_missing_estimate_has_no_number():
    assert score(None) == "insufficient data"
    assert score({"value": 0.5}) == "0.500"
