"""Great Expectations' Data Docs as pages that need no network and run no script.

Takes the folder of a site, gives its configuration and, once the context has its results, builds
it. Great Expectations 1.24 has style, scripts, tables and logo of its pages from eight servers of
others; ``templates`` and ``views`` put ours in their place, the way its own settings allow.
"""

import html
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.rules.settings import Rule, Setting

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext


def description(rule: Rule, setting: Setting) -> str:
    """Say on a page, as HTML, what a rule demands, what follows where it is broken, its bounds.

    Great Expectations has columns of their own for such, which fail in 1.24.
    """
    bounds = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in setting.values.items()
    )
    named = f"{rule.name}: {bounds}" if bounds else rule.name
    return (
        f"{html.escape(rule.sentence, quote=False)} "
        f'<span class="policy {setting.policy}">{setting.policy}</span> '
        f"<small>{html.escape(named)}</small>"
    )


def site(folder: Path) -> dict[str, Any]:
    """Configure the pages of suites and results, and their index, in ``folder``."""
    view = {"module_name": "unveil.quality.datadocs.views", "class_name": "PageView"}
    return {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder", "view": view},
        "site_section_builders": {name: {"view": view} for name in ("expectations", "validations")},
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(folder.absolute()),
        },
    }


def build(context: "EphemeralDataContext", folder: Path) -> None:
    """Write the pages of every suite and result of ``context``, for which ``site`` is set."""
    context.build_data_docs()
    # Fonts, logos and animations, 2 MB that no page of ours shows.
    shutil.rmtree(folder / "static", ignore_errors=True)
