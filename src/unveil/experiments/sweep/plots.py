"""The plot of a search: the score of each trial, and the importance of each parameter."""

from pathlib import Path

import optuna
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from unveil.experiments.sweep.study import Sweep
from unveil.rendering.plots import PALETTE, saved_figure

ENOUGH = 10
"""Complete trials without which importances would be noise."""


def draw(sweep: Sweep, path: Path) -> None:
    """Draw the history of all trials, and the importances if there are enough trials."""
    importances = importance(sweep)
    with saved_figure(path, 9, 2.4 + 0.16 * len(sweep.space)) as figure:
        left, right = figure.subplots(1, 2)
        _history(left, sweep.trials, title=sweep.key)
        names = sorted(importances, key=importances.__getitem__)
        right.barh(names, [importances[name] for name in names])
        right.tick_params(axis="y", labelsize=7)
        title = f"{len(sweep.complete)} complete trials"
        note = title if importances else f"{title}, too few for importances"
        right.set(xlabel="importance (PED-ANOVA)", title=note)


def importance(sweep: Sweep) -> dict[str, float]:
    """Return each parameter's share of the variation of the score; empty with too few trials."""
    if len(sweep.complete) < ENOUGH or len({one.value for one in sweep.complete}) < 2:
        return {}
    found = optuna.importance.get_param_importances(sweep.study, params=list(sweep.space))
    return {name: float(value) for name, value in found.items()}


def _history(axes: Axes, trials: list[FrozenTrial], *, title: str) -> None:
    complete = [one for one in trials if one.state == TrialState.COMPLETE]
    pruned = [one for one in trials if one.state == TrialState.PRUNED and one.intermediate_values]
    axes.scatter(
        [one.number for one in complete], [one.value or 0.0 for one in complete], label="complete"
    )
    best = [max(one.intermediate_values.values()) for one in pruned]
    numbers = [one.number for one in pruned]
    axes.scatter(numbers, best, marker="x", color=PALETTE[5], label="pruned")
    so_far = [max(one.value or 0.0 for one in complete[: end + 1]) for end in range(len(complete))]
    axes.step(
        [one.number for one in complete], so_far, where="post", alpha=0.5, label="best so far"
    )
    axes.set(xlabel="trial", ylabel="best validation macro-F1", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
