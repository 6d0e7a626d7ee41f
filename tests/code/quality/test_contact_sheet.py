"""The contact sheet in a real browser, opened from disk, with mouse and keyboard."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.support.browser import colours

from unveil.data import corrections, synthetic
from unveil.quality.label_noise import contact_sheet

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None
)
MEMBERS = ("train/sad/a.png", 'test/happy/b,"1".png', "train/<b>&happy/c.png")

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on the PATH")


def rows() -> pd.DataFrame:
    labels, looks = ("sad", "happy", "happy"), ("happy", "sad", "surprise")
    shares = {f"p_{name}": [0.25] * 3 for name in synthetic.CLASSES}
    return pd.DataFrame(
        {
            **{"rank": [1, 2, 3], "sha256": [f"{place:064x}" for place in range(3)]},
            **{"member": MEMBERS, "split": ["train", "test", "train"]},
            **{"label": labels, "suggested": looks, "score": [0.01, 0.02, 0.03]},
            **{"action": "", "new_label": "", **shares},
        }
    )


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        opened = playwright.chromium.launch(
            executable_path=BROWSER, args=arguments, timeout=180_000
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser, tmp_path) -> Iterator:
    faces = [
        synthetic.draw_face(name, np.random.default_rng(1)) for name in ("happy", "sad", "surprise")
    ]
    sheet = tmp_path / "suspects.html"
    said = {"audited": 900, "doubted": 7, "identity": "f" * 64}
    contact_sheet.write(sheet, rows(), faces, synthetic.CLASSES, **said)
    with browser.new_context(offline=True, accept_downloads=True) as context:
        opened = context.new_page()
        opened.set_default_timeout(60_000)
        opened.wrong, opened.asked = [], []
        opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
        opened.on("console", lambda said: opened.wrong.append(said.text))
        opened.on(
            "request",
            lambda asked: (
                opened.wrong.append(asked.url)
                if asked.url[:4] not in ("file", "data", "blob")
                else None
            ),
        )
        opened.goto(sheet.as_uri())
        yield opened
        assert opened.wrong == []
        assert set(opened.asked) <= {"file", "data", "blob"}


def saved(page, tmp_path: Path) -> list[dict[str, str]]:
    with page.expect_download() as download:
        page.get_by_role("button", name="Save decisions").click()
    assert download.value.suggested_filename == "decisions.csv"
    download.value.save_as(tmp_path / "decisions.csv")
    with (tmp_path / "decisions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_face_is_shown_with_its_label_and_its_suggestion(page, tmp_path):
    assert colours(page, tmp_path / "sheet.png") > 10
    assert page.get_by_role("heading", level=1).inner_text() == (
        "Doubtful labels: 7 of 900 may be wrong, 3 shown"
    )
    titles = page.get_by_role("heading", level=2).all_inner_texts()
    assert titles[0] == "1. labelled sad, looks happy?"
    assert len(titles) == 3
    pictures = page.get_by_role("img").all()
    assert [picture.evaluate("img => img.naturalWidth") for picture in pictures] == [48] * 3
    assert all(picture.is_visible() for picture in pictures)
    assert page.get_by_text("train: train/<b>&happy/c.png").is_visible()
    assert page.get_by_text("happy 25 %, neutral 25 %, sad 25 %, surprise 25 %").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_decisions_by_keyboard_can_be_saved_and_reviewed(page, tmp_path):
    for key in ("ArrowRight", "1", "1", "d", "ArrowLeft", "Backspace"):
        page.keyboard.press(key)
    assert page.locator("output").inner_text() == "2 decided"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("d")
    decisions = saved(page, tmp_path)
    assert [(row["member"], row["action"], row["new_label"]) for row in decisions] == [
        (MEMBERS[0], "relabel", "happy"),
        (MEMBERS[2], "drop", ""),
    ]
    target = tmp_path / "corrections.csv"
    counts = corrections.review(tmp_path / "decisions.csv", rows(), synthetic.CLASSES, target)
    assert counts == {"relabel": 1, "drop": 1, "keep": 0}


def test_a_click_decides_and_decisions_survive_a_reload(page, tmp_path):
    second = page.get_by_role("listitem").nth(1)
    second.get_by_role("button", name="1 happy").click()
    page.reload()
    assert second.get_by_role("button", name="1 happy").get_attribute("aria-pressed") == "true"
    assert [(row["member"], row["action"]) for row in saved(page, tmp_path)] == [
        (MEMBERS[1], "keep")
    ]
