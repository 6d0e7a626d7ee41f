"""How the report and the model card write numbers and names."""

import html
import re
from collections.abc import Mapping

from markupsafe import Markup


def marked(text: str) -> Markup:
    """Turn the Markdown of one of our sentences (code, bold) to HTML; the rest is escaped."""
    escaped = html.escape(text, quote=False)
    coded = re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped)
    return Markup(re.sub(r"\*\*([^*]*)\*\*", r"<b>\1</b>", coded))


def number(value: object) -> str:
    """Write any value shortly: whole numbers in groups of three digits, others to four."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def percent(estimate: Mapping[str, float] | None) -> str:
    """Write an estimate in percent, with its 95 % interval where it has one."""
    if estimate is None:
        return "insufficient data"
    text = f"{100 * estimate['value']:.1f}"
    if "low" not in estimate:
        return text
    return f"{text} [{100 * estimate['low']:.1f}, {100 * estimate['high']:.1f}]"


def counted(count: int, noun: str) -> str:
    """Write a number of things, ``noun`` being the name of one."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def words(name: str) -> str:
    """Write a key as words."""
    return name.replace("_", " ").replace(".", ", ")
