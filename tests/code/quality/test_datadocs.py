"""The Data Docs in Chromium, opened from disk without a network."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from tests.conftest import ROOT
from tests.support import browser

from unveil.config import params
from unveil.quality.datadocs import description
from unveil.quality.validate import validate
from unveil.rules.expectations import RULES
from unveil.rules.settings import Setting

PARAMS = params.load(ROOT / "params.yaml")
HOSTILE = 'train/happy/<img src="http://127.0.0.1:9/x.png">&amp;.png'
SENTENCES = {rule.name: rule.sentence for rule in RULES}
STOPPED, WARNED = SENTENCES["known_split"], SENTENCES["large_enough"]

# Great Expectations 1.24 imports what Python and its own libraries have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def faces() -> pd.DataFrame:
    """Faces, one of them in an unknown split, and two too small, one with a hostile name."""
    rows = [
        {"member": f"{split}/{label}/{place}.png", "split": split, "label": label}
        for split, count in {"train": 48, "validation": 20, "test": 16}.items()
        for label in PARAMS.classes
        for place in range(count)
    ]
    table = pd.DataFrame(rows).assign(dhash="0" * 16, width=48, height=48, mode="L")
    table["sha256"] = [f"{place:064x}" for place in range(len(table))]
    table = table.assign(
        brightness=100.0, contrast=50.0, sharpness=9.0, bytes_per_pixel=1.0, fault="", quarantine=""
    )
    table.loc[5, "split"] = "trial"
    table.loc[6, "member"] = HOSTILE
    table.loc[[6, 7], "fault"] = "too_small: 20 x 20"
    return table


@pytest.fixture(scope="module")
def docs(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        faces().to_parquet("manifest.parquet")
        validate(Path("manifest.parquet"), PARAMS)
    return folder / "data/02_manifest/data_docs"


def test_no_page_loads_from_other_servers_or_runs_scripts(docs):
    pages = list(docs.rglob("*"))
    assert {path.suffix for path in pages if path.is_file()} == {".html"}
    for path in docs.rglob("*.html"):
        text = path.read_text()
        assert not re.search(r"<script|<link[^>]*href=.(?!data:)|@import|url\(", text), path
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text), path


def test_violations_are_found_from_the_index_without_requests(docs, tmp_path):
    with browser.page() as (page, outside):
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto((docs / "index.html").as_uri())
        assert page.get_by_role("heading", name="Validation Results").is_visible()
        row = page.locator("tr", has_text="faces").filter(has_text="UTC")
        assert "not all kept" in icon(row)
        row.get_by_role("link", name="faces").first.click()
        broken = page.locator("tr", has_text=STOPPED)
        assert broken.get_by_text("train/happy/5.png").is_visible()
        assert broken.get_by_text("stop", exact=True).is_visible()
        assert "broken" in icon(broken)
        warned = page.locator("tr", has_text=WARNED)
        assert "warned" in icon(warned)
        assert warned.get_by_text("min side 24").is_visible()
        assert warned.get_by_text(HOSTILE).is_visible()
        assert browser.colours(page, tmp_path / "results.png") > 10
        kept = page.get_by_text(SENTENCES["known_label"])
        assert kept.is_visible()
        page.get_by_label("Broken rules only").check()
        assert kept.is_hidden()
        assert broken.get_by_text("train/happy/5.png").is_visible()
        page.get_by_role("link", name="Data Docs").click()
        assert page.url == (docs / "index.html").as_uri()
        assert outside == []
        assert failures == []


def test_a_suite_describes_every_rule_with_its_policy(docs):
    with browser.page() as (page, outside):
        page.goto((docs / "expectations/faces.html").as_uri())
        assert page.get_by_text(STOPPED).is_visible()
        assert page.locator("li", has_text=WARNED).get_by_text("warn", exact=True).is_visible()
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert outside == []


def icon(row) -> str:
    """Return the text that the style shows for the outcome of a row."""
    mark = row.locator("i.fas").first
    return str(mark.evaluate("node => getComputedStyle(node, '::before').content"))


def test_bounds_are_escaped():
    said = description(RULES[0], Setting("warn", {"modes": ["<b>"], "max_share": 0.1}))
    assert "&lt;b&gt;" in said
    assert "max share 0.1" in said
    assert "<b>" not in said
