"""Real Chromium for page tests; only the page's own server can be reached."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright


def _chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        pytest.skip("no Chromium here: apt-get install chromium")
    return found


@contextmanager
def page(*allowed: str, args: Sequence[str] = ()) -> Iterator[tuple[Page, list[str]]]:
    """Open a page; yields it and a growing list of its requests to other hosts than ``allowed``.

    Such requests are blocked. ``args`` are arguments of Chromium.
    """
    outside: list[str] = []
    near = ("file://", "data:", "blob:", *allowed)
    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root.
        switches = ["--no-sandbox", *args]
        browser = playwright.chromium.launch(executable_path=_chromium(), args=switches)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})

        def decide(route) -> None:
            if route.request.url.startswith(near):
                route.continue_()
            else:
                outside.append(route.request.url)
                route.abort()

        tab.route("**/*", decide)
        yield tab, outside
        browser.close()


def colours(page: Page, screenshot: Path) -> int:
    """Take a screenshot of the whole page; returns its number of colours."""
    page.screenshot(path=screenshot, full_page=True)
    with Image.open(screenshot) as seen:
        return len(seen.convert("RGB").getcolors(1 << 24) or ())
