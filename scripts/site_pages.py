"""A hook of mkdocs.yml: pages from outside docs/, and links between both.

README.md becomes the first page. A link to a file that has no page becomes plain text, because the
site knows no address of the repository. A link to a missing file stays, and fails the strict build.
"""

import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "deploy/README.md": "deploy/README.md",
    "models/starter/README.md": "models/starter/README.md",
}
"""Files of the repository, and the paths of their pages in the site."""
SOURCES = {page: source for source, page in PAGES.items()}
FENCED = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^\s():#]+)(#[^\s()]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name anchors as code hosts do, so that a link works in both places."""
    config.mdx_configs["toc"]["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page to other pages; code blocks stay as they are."""
    parts = FENCED.split(markdown)
    parts[::2] = [
        LINK.sub(lambda link: _relink(link, page.file.src_uri), one) for one in parts[::2]
    ]
    return "".join(parts)


def _relink(link: re.Match[str], page: str) -> str:
    picture, text, target, anchor = link.groups()
    source = SOURCES.get(page, f"docs/{page}")
    path = normpath(join(dirname(source), target))
    there = PAGES.get(path)
    if path.startswith("docs/") and (ROOT / path).is_file():
        there = path.removeprefix("docs/")
    if there:
        return f"{picture}[{text}]({relpath(there, dirname(page) or '.')}{anchor or ''})"
    return text if (ROOT / path).exists() else link[0]
