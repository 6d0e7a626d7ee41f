"""The results of a search: the table of trials, and the best one as a change of params.yaml."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from optuna.trial import FrozenTrial

from unveil.common import csv_writer
from unveil.common.errors import UserError
from unveil.common.files import atomic_write
from unveil.common.paths import PARAMS
from unveil.config import params as parameters
from unveil.experiments.sweep import plots, recipe_diff
from unveil.experiments.sweep.recipe_values import current, with_values
from unveil.experiments.sweep.study import REASON, RECIPE, SECONDS, STATES, Sweep

TABLE, PLOT, DIFF = "trials.csv", "plot.png", "recipe.diff"


@dataclass(frozen=True)
class Found:
    """The best trial: its change of the recipe, and what else that changes; see `summary`."""

    best: FrozenTrial | None
    diff: str
    also: list[str]


def write_table(sweep: Sweep) -> pd.DataFrame:
    """Write ``trials.csv``: one row for each trial that has ended, in their order."""
    rows = [
        {
            "trial": one.number,
            "state": STATES[one.state],
            "validation_macro_f1": score(one),
            "epochs": len(one.intermediate_values),
            "seconds": round(one.user_attrs.get(SECONDS, 0.0), 1),
            **sweep.values(one),
            "reason": one.user_attrs.get(REASON, ""),
        }
        for one in sweep.trials
    ]
    table = pd.DataFrame(rows)
    with atomic_write(sweep.folder / TABLE) as path:
        path.write_text(csv_writer.to_csv(table))
    return table


def write(sweep: Sweep) -> Found:
    """Write table, plot and diff; without a better trial than the recipe there is no diff."""
    write_table(sweep)
    with atomic_write(sweep.folder / PLOT) as path:
        plots.draw(sweep, path)
    best = max(sweep.complete, key=lambda one: one.value or 0.0, default=None)
    if best is None or best.user_attrs.get(RECIPE):
        (sweep.folder / DIFF).unlink(missing_ok=True)
        return Found(best, "", [])
    return _with_diff(sweep, best)


def score(trial: FrozenTrial) -> float | None:
    """Return the best validation macro-F1 of a trial's epochs."""
    return max(trial.intermediate_values.values(), default=None)


def summary(sweep: Sweep, found: Found) -> str:
    """Say what was found, and how to take and to confirm it."""
    states = [one.state for one in sweep.trials]
    parts = [f"{states.count(state)} {word}" for state, word in STATES.items() if state in states]
    lines = [f"{sweep.key}: {len(states)} trials, {', '.join(parts)}; see {sweep.folder}"]
    if found.best is None:
        return f"{lines[0]}\nno trial is complete"
    own = next((one for one in sweep.trials if one.user_attrs.get(RECIPE)), None)
    known = f"; the recipe's own values {own.value:.3f}" if own and own.value is not None else ""
    number, value = found.best.number, found.best.value
    lines.append(f"best on validation: trial {number}, macro-F1 {value:.3f}{known}")
    if not found.diff:
        return "\n".join(
            [*lines, "the recipe's own values are the best; there is nothing to change"]
        )
    lines += ["", found.diff.rstrip("\n"), ""]
    lines += [f"this also changes {', '.join(found.also)}"] if found.also else []
    lines.append(f"to take it: git apply {sweep.folder / DIFF}")
    lines.append(
        f"the best of {len(states)} on the same faces is optimistic; to confirm it, run `unveil "
        f"train {sweep.key} --seeds 3` before and after, and `unveil compare`"
    )
    return "\n".join(lines)


def _with_diff(sweep: Sweep, best: FrozenTrial) -> Found:
    own, values = current(sweep.key, sweep.params), sweep.values(best)
    changed = {name: value for name, value in values.items() if own[name] != value}
    before = PARAMS.read_text(encoding="utf-8")
    after = recipe_diff.edited(before, sweep.params.recipe, sweep.key, changed)
    _require_equal(sweep, after, best)
    diff = recipe_diff.unified(before, after, str(PARAMS))
    with atomic_write(sweep.folder / DIFF) as path:
        path.write_text(diff, encoding="utf-8")
    also = recipe_diff.also_changed(before, after, sweep.params.recipe, sweep.key)
    return Found(best, diff, also)


def _require_equal(sweep: Sweep, text: str, best: FrozenTrial) -> None:
    """Read the changed file as a training would; it must give the trained values."""
    values = sweep.values(best)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PARAMS
        path.write_text(text, encoding="utf-8")
        read = current(sweep.key, parameters.load(path))
    if read != current(sweep.key, with_values(sweep.key, sweep.params, values)):
        said = ", ".join(f"{name} {value}" for name, value in values.items())
        raise UserError(f"{PARAMS} was changed during the sweep; set by hand: {said}")
