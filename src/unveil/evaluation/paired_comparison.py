"""Paired comparison of two architectures on the same test images.

Takes the reports that `compare` ranks; builds two further tables: the best network with a
pretrained backbone against the best trained from scratch, and RGB against gray.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from unveil.common.files import read_json
from unveil.common.paths import MODELS, REPORTS
from unveil.config.params import Params
from unveil.evaluation import predictions
from unveil.evaluation.metrics import Estimate, paired_difference
from unveil.networks import Cnn, Transfer

Pair = dict[str, Any]
"""``first``, ``second``, ``difference`` (of test macro-F1, with interval) and ``tie``."""


def pair(first: str, second: str, classes: tuple[str, ...]) -> Pair:
    """Compare two evaluated architectures by a paired bootstrap of their test macro-F1."""
    estimate = difference(first, second, classes)
    return {
        "first": first,
        "second": second,
        "difference": asdict(estimate),
        "tie": estimate.low <= 0 <= estimate.high,
    }


def difference(first: str, second: str, classes: tuple[str, ...]) -> Estimate:
    """Return the test macro-F1 of one architecture minus another's, on the same images."""
    one, other = (
        predictions.read(REPORTS / key, classes, made_by=f"unveil evaluate {key}")
        for key in (first, second)
    )
    return paired_difference(one.truth, one.predicted, other.predicted, classes=len(classes))


def transfer(ranking: Sequence[str], params: Params) -> Pair | None:
    """Compare the best network with a backbone to the best from scratch, if there are both."""
    best = [
        next((key for key in ranking if isinstance(params.architectures[key], kind)), None)
        for kind in (Transfer, Cnn)
    ]
    return pair(best[0], best[1], params.classes) if best[0] and best[1] else None


def colors(ranking: Sequence[str], params: Params) -> list[Pair]:
    """Compare RGB to gray for all pairs of entries that differ in nothing else."""
    entries = {key: entry for key in ranking if isinstance(entry := params.architectures[key], Cnn)}
    return [
        pair(key, other, params.classes)
        for key, entry in sorted(entries.items())
        for other, gray in entries.items()
        if entry.color == "rgb" and replace(entry, color="gray") == gray
    ]


def weights(ranking: Sequence[str], params: Params) -> dict[str, str]:
    """Return the initial weights of each backbone, from its ``run.json``."""
    started = {}
    for key in ranking:
        path = MODELS / key / "run.json"
        if isinstance(params.architectures[key], Transfer) and path.exists():
            used = read_json(path, made_by=f"unveil train {key}").get("parameters", {})
            started[key] = _started(used.get("network.weights"), used.get("network.sha256"))
    return started


def lines(result: dict[str, Any]) -> list[str]:
    """Format both tables as Markdown, with their headings."""
    reports = result["reports"]
    written = []
    if result["transfer"]:
        written += ["", "## Transfer learning against training from scratch, the best of each", ""]
        written += _table("transfer", "from scratch", [result["transfer"]], reports)
    if result["weights"]:
        started = [f"`{key}` {weights}" for key, weights in result["weights"].items()]
        written += ["", f"Backbones started from: {', '.join(started)}."]
    if result["colors"]:
        written += ["", "## RGB against gray, the same network otherwise", ""]
        written += _table("RGB", "gray", result["colors"], reports)
    return written


def format_difference(outcome: Pair) -> str:
    """Format the difference with its interval: ``+0.0123 [-0.0040, +0.0290]``."""
    return format_signed(Estimate(**outcome["difference"]))


def format_signed(estimate: Estimate) -> str:
    """Format a difference with its sign and interval."""
    return f"{estimate.value:+.4f} [{estimate.low:+.4f}, {estimate.high:+.4f}]"


def percent(estimate: dict[str, float]) -> str:
    """Format a share and its interval in percent."""
    value, low, high = (100 * estimate[key] for key in ("value", "low", "high"))
    return f"{value:.2f} [{low:.1f}, {high:.1f}]"


def _table(
    one: str, other: str, outcomes: list[Pair], reports: dict[str, dict[str, Any]]
) -> list[str]:
    return [
        f"| {one} | test macro-F1 | {other} | test macro-F1 | difference, paired | better |",
        "|---|---|---|---|---|---|",
        *(_row(outcome, reports) for outcome in outcomes),
    ]


def _row(outcome: Pair, reports: dict[str, dict[str, Any]]) -> str:
    cells = []
    for key in (outcome["first"], outcome["second"]):
        cells += [f"`{key}`", percent(reports[key]["test"]["macro_f1"])]
    ahead = outcome["first"] if outcome["difference"]["value"] > 0 else outcome["second"]
    better = "a tie" if outcome["tie"] else f"`{ahead}`"
    return f"| {' | '.join(cells)} | {format_difference(outcome)} | {better} |"


def _started(source: str | None, digest: str | None) -> str:
    if source in (None, "none"):
        return "random weights"
    pinned = f"sha256 {digest[:12]}" if digest and digest != "None" else "not pinned"
    return f"{source} ({pinned})"
