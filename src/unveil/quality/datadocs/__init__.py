"""Great Expectations Data Docs as offline pages without scripts.

Configures and builds the site in a folder. Great Expectations 1.24 loads styles, scripts, tables
and the logo of its pages from eight third-party servers; ``templates`` and ``views`` replace them
through its own configuration.
"""

import html
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.rules.settings import Rule, Setting

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext


def description(rule: Rule, setting: Setting) -> str:
    """Return the description of a rule as HTML: sentence, policy and bounds.

    Great Expectations has its own columns for these, which fail in 1.24.
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
    """Return the configuration of the pages of suites and results, and their index."""
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
    """Write the pages of all suites and results of ``context``, configured by ``site``."""
    context.build_data_docs()
    # Fonts, logos and animations, 2 MB that no page uses.
    shutil.rmtree(folder / "static", ignore_errors=True)
