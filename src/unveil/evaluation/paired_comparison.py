"""Two architectures on the same test images: by how much one is better, and whether by luck.

Takes the reports that `compare` ranks; makes the study's two further tables, the best network with
a backbone against the best from scratch, and RGB against gray.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from unveil.common.files import read_json
from unveil.common.metrics import Estimate, paired_difference
from unveil.common.paths import MODELS, REPORTS
from unveil.config.params import Params
from unveil.evaluation import predictions
from unveil.networks import Cnn, Transfer

Pair = dict[str, Any]
"""``first``, ``second``, ``difference`` (of test macro-F1, with interval) and ``tie``."""


def pair(first: str, second: str, classes: tuple[str, ...]) -> Pair:
    """Compare two evaluated architectures by a paired bootstrap of their test macro-F1."""
    apart = difference(first, second, classes)
    return {
        "first": first,
        "second": second,
        "difference": asdict(apart),
        "tie": apart.low <= 0 <= apart.high,
    }


def difference(first: str, second: str, classes: tuple[str, ...]) -> Estimate:
    """Give the test macro-F1 of one architecture minus another's, on the same images."""
    one, other = (
        predictions.read(REPORTS / key, classes, made_by=f"unveil evaluate {key}")
        for key in (first, second)
    )
    return paired_difference(one.truth, one.predicted, other.predicted, classes=len(classes))


def transfer(ranking: Sequence[str], params: Params) -> Pair | None:
    """Compare the best network with a backbone to the best from scratch, where both are."""
    best = [
        next((key for key in ranking if isinstance(params.architectures[key], kind)), None)
        for kind in (Transfer, Cnn)
    ]
    return pair(best[0], best[1], params.classes) if best[0] and best[1] else None


def colors(ranking: Sequence[str], params: Params) -> list[Pair]:
    """Compare RGB to gray wherever two entries differ in nothing else."""
    entries = {key: entry for key in ranking if isinstance(entry := params.architectures[key], Cnn)}
    return [
        pair(key, other, params.classes)
        for key, entry in sorted(entries.items())
        for other, gray in entries.items()
        if entry.color == "rgb" and replace(entry, color="gray") == gray
    ]


def weights(ranking: Sequence[str], params: Params) -> dict[str, str]:
    """Say of each backbone from what weights its training started, as its run tells."""
    told = {}
    for key in ranking:
        path = MODELS / key / "run.json"
        if isinstance(params.architectures[key], Transfer) and path.exists():
            used = read_json(path, made_by=f"unveil train {key}").get("parameters", {})
            told[key] = _started(used.get("network.weights"), used.get("network.sha256"))
    return told


def lines(result: dict[str, Any]) -> list[str]:
    """Write both tables as Markdown, each with a sentence that says what it shows."""
    reports = result["reports"]
    written = []
    if result["transfer"]:
        written += ["", "## Transfer against from scratch, the best of each", ""]
        written += _table("transfer", "from scratch", [result["transfer"]], reports)
    if result["weights"]:
        told = [f"`{key}` {started}" for key, started in result["weights"].items()]
        written += ["", f"Backbones started from: {', '.join(told)}."]
    if result["colors"]:
        written += ["", "## RGB against gray, the same network otherwise", ""]
        written += _table("RGB", "gray", result["colors"], reports)
    return written


def said(outcome: Pair) -> str:
    """Say the difference with its interval: ``+0.0123 [-0.0040, +0.0290]``."""
    return signed(Estimate(**outcome["difference"]))


def signed(apart: Estimate) -> str:
    """Write a difference with its sign, and its interval."""
    return f"{apart.value:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]"


def percent(estimate: dict[str, float]) -> str:
    """Write a share with its interval in hundredths."""
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
    return f"| {' | '.join(cells)} | {said(outcome)} | {better} |"


def _started(source: str | None, digest: str | None) -> str:
    if source in (None, "none"):
        return "random weights"
    pinned = f"sha256 {digest[:12]}" if digest and digest != "None" else "not pinned"
    return f"{source} ({pinned})"
