"""Text filters of the report and the model card: numbers, scores, plurals and names."""

import html
import re
from collections.abc import Mapping

from markupsafe import Markup

from unveil.evaluation.metrics import format_estimate


def inline_html(text: str) -> Markup:
    """Convert inline Markdown (code, bold) to HTML; everything else is escaped."""
    escaped = html.escape(text, quote=False)
    coded = re.sub(r"`([^`]*)`", r"<code>\1</code>", escaped)
    return Markup(re.sub(r"\*\*([^*]*)\*\*", r"<b>\1</b>", coded))


def number(value: object) -> str:
    """Format a value: integers with thousands separators, other numbers with three decimals."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, float) and not value.is_integer():
        if 0 < abs(value) < 0.001:
            return f"{value:.1e}"
        return f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def score(estimate: Mapping[str, float] | None) -> str:
    """Format an estimate from 0 to 1 with three digits, and its 95 % interval if it has one."""
    return "insufficient data" if estimate is None else format_estimate(estimate)


def decimals(value: float) -> str:
    """Format a score from 0 to 1 that has no interval."""
    return f"{value:.3f}"


def counted(count: int, noun: str) -> str:
    """Format a count with its noun, given in the singular."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def words(name: str) -> str:
    """Format a key as words: underscores become spaces. A path stays as it is."""
    return name if "/" in name else name.replace("_", " ").replace(".", ", ")
