"""Text filters of the report and the model card: numbers, percentages, plurals and names."""

import html
import re
from collections.abc import Mapping

from markupsafe import Markup


def inline_html(text: str) -> Markup:
    """Convert inline Markdown (code, bold) to HTML; everything else is escaped."""
    escaped = html.escape(text, quote=False)
    coded = re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped)
    return Markup(re.sub(r"\*\*([^*]*)\*\*", r"<b>\1</b>", coded))


def number(value: object) -> str:
    """Format a value: integers with thousands separators, other numbers with up to four digits."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def percent(estimate: Mapping[str, float] | None) -> str:
    """Format an estimate in percent, with its 95 % interval if it has one."""
    if estimate is None:
        return "insufficient data"
    text = f"{100 * estimate['value']:.1f}"
    if "low" not in estimate:
        return text
    return f"{text} [{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"


def counted(count: int, noun: str) -> str:
    """Format a count with its noun, given in the singular."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def words(name: str) -> str:
    """Format a key as words: underscores become spaces."""
    return name.replace("_", " ").replace(".", ", ")
