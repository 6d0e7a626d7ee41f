"""Paired comparison of two architectures on the same test images.

Takes the reports that `compare` ranks; builds two further tables: the best network with a
pretrained backbone against the best trained from scratch, and RGB against gray.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from unveil.common.paths import REPORTS
from unveil.config.params import Params
from unveil.evaluation import predictions, training_conditions
from unveil.evaluation.metrics import Estimate, format_estimate, paired_difference
from unveil.networks import Cnn, Transfer, package_weights

COLOR = "network.color"
RANDOM = "random weights"

Pair = dict[str, Any]
"""``first``, ``second``, ``difference`` (of test macro-F1, with interval) and ``tie``.

``differs`` names the parameters in which the two trainings differ; ``None`` if they are not known.
"""


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
    """Compare RGB to gray for all pairs of entries that differ in nothing else.

    Their trainings may differ further: ``differs`` has what the recipe changed.
    """
    entries = {key: entry for key in ranking if isinstance(entry := params.architectures[key], Cnn)}
    return [
        pair(key, other, params.classes) | {"differs": _differs(key, other)}
        for key, entry in sorted(entries.items())
        for other, gray in entries.items()
        if entry.color == "rgb" and replace(entry, color="gray") == gray
    ]


def _differs(first: str, second: str) -> list[str] | None:
    one, other = (training_conditions.training_parameters(key) for key in (first, second))
    return training_conditions.differences(one, other) if one and other else None


def weights(ranking: Sequence[str], params: Params) -> dict[str, str]:
    """Return the initial weights of each backbone, from its ``run.json``."""
    started = {}
    for key in ranking:
        used = training_conditions.training_parameters(key)
        if isinstance(params.architectures[key], Transfer) and used:
            started[key] = _started(used.get("network.weights"), used.get("network.sha256"))
    return started


def lines(result: dict[str, Any]) -> list[str]:
    """Format both tables as Markdown, with their headings."""
    reports, pretrained = result["reports"], result["transfer"]
    written = []
    if pretrained:
        written += ["", "## A backbone against training from scratch, the best of each", ""]
        written += _table("backbone", "from scratch", [pretrained], reports)
        if result["weights"].get(pretrained["first"]) == RANDOM:
            written += ["", f"This is no transfer: `{pretrained['first']}` has {RANDOM}."]
    if result["weights"]:
        started = [f"`{key}` {weights}" for key, weights in result["weights"].items()]
        written += ["", f"Backbones started from: {', '.join(started)}."]
    if result["colors"]:
        written += ["", "## RGB against gray", ""]
        written += _table("RGB", "gray", result["colors"], reports)
        written += ["", *(f"- {sentence}" for sentence in color_sentences(result))]
    return written


def color_sentences(result: dict[str, Any]) -> list[str]:
    """Say for each comparison of RGB to gray in what the two trainings differ, in Markdown."""
    return [_difference_sentence(outcome) for outcome in result["colors"]]


def _difference_sentence(outcome: Pair) -> str:
    names = f"`{outcome['first']}` and `{outcome['second']}` differ in"
    differs = outcome.get("differs")
    if differs is None:
        return f"{names} the channels of their input; how they were trained is not known."
    others = [f"`{name}`" for name in differs if name != COLOR]
    if not others:
        return f"{names} the channels of their input alone; their training has the same settings."
    return f"{names} the channels of their input, and in {', '.join(others)}."


def format_difference(outcome: Pair) -> str:
    """Format the difference with its interval: ``+0.012 [-0.004, +0.029]``."""
    return format_signed(Estimate(**outcome["difference"]))


def format_signed(estimate: Estimate) -> str:
    """Format a difference with its sign and interval."""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


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
        cells += [f"`{key}`", format_estimate(reports[key]["test"]["macro_f1"])]
    ahead = outcome["first"] if outcome["difference"]["value"] > 0 else outcome["second"]
    better = "a tie" if outcome["tie"] else f"`{ahead}`"
    return f"| {' | '.join(cells)} | {format_difference(outcome)} | {better} |"


def _started(source: str | None, digest: str | None) -> str:
    if source in (None, "none"):
        return RANDOM
    if source.startswith(package_weights.PREFIX):
        return source
    pinned = f"sha256 {digest[:12]}" if digest and digest != "None" else "not pinned"
    return f"{source} ({pinned})"
