"""Comparison of hardware: seconds and cost per epoch, and the scores of the same training.

Takes the evaluated trainings in MLflow, writes ``data/05_reports/hardware.md``. Command:
``unveil compare --by hardware``.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from unveil import registry
from unveil.common.csv_writer import markdown_cell
from unveil.common.errors import UserError, unknown_choice
from unveil.common.files import atomic_write
from unveil.common.paths import HARDWARE
from unveil.config import provenance
from unveil.evaluation.metrics import format_estimate
from unveil.registry import Training


@dataclass(frozen=True)
class Environment:
    """Where a training ran: everything that determines its speed."""

    machine: str
    backend: str
    precision: str


EXCLUDED = {"training.seed", "training.precision"}
"""Parameters that do not distinguish tasks: the seed, and one that belongs to the environment."""


class Task(NamedTuple):
    """A training, independent of where it runs; ``settings`` and ``data`` are digests.

    ``settings`` is the digest of all parameters except ``EXCLUDED``, ``data`` the md5 of the packed
    faces.
    """

    architecture: str
    recipe: str
    images: str
    settings: str
    data: str


MAX_PRICE = 100_000.0
"""Highest accepted price in EUR per hour; more is probably a typo."""

Groups = dict[Task, dict[Environment, list[Training]]]


def compare(prices: Mapping[str, float]) -> str:
    """Write the comparison table, and return it.

    ``prices`` are EUR per hour, by a part of a machine's name.
    """
    trainings = registry.evaluated_trainings()
    if not trainings:
        raise UserError("MLflow has no evaluated training; `unveil publish` records yours")
    groups = group(trainings)
    prices_found = prices_by_machine(
        prices, {place.machine for task in groups.values() for place in task}
    )
    text = table(groups, prices_found)
    with atomic_write(HARDWARE) as path:
        path.write_text(text)
    return text


def group(trainings: Sequence[Training]) -> Groups:
    """Group trainings by task and environment; each group keeps the given order."""
    groups: Groups = defaultdict(lambda: defaultdict(list))
    for one in trainings:
        groups[_task(one)][_environment(one)].append(one)
    return groups


def parse_prices(options: Sequence[str]) -> dict[str, float]:
    """Parse prices given as ``NAME=EUR_PER_HOUR``; ``UserError`` if one is invalid."""
    prices = {}
    for place, one in enumerate(options, start=1):
        name, _, value = one.rpartition("=")
        try:
            prices[name] = float(value)
        except ValueError:
            prices[name] = -1
        if not name or not 0 <= prices[name] <= MAX_PRICE:
            raise UserError(
                f"invalid price {one!r}, from 0 to {MAX_PRICE:,.0f}; write NAME=EUR_PER_HOUR, "
                "such as H100=2.50"
            )
        if len(prices) < place:
            raise UserError(f"two prices for {name!r}: {', '.join(options)}; give one")
    return prices


def prices_by_machine(prices: Mapping[str, float], machines: set[str]) -> dict[str, float]:
    """Return each machine's price; ``UserError`` if a name matches no machine."""
    found: dict[str, float] = {}
    for name, price in prices.items():
        meant = [machine for machine in machines if name.lower() in machine.lower()]
        if not meant:
            raise unknown_choice("machine", name, sorted(machines))
        for machine in meant:
            if found.setdefault(machine, price) != price:
                raise UserError(
                    f"two prices for {machine!r}: {found[machine]:g} and {price:g}, by {name!r}; "
                    "use longer parts of their names"
                )
    return found


def table(groups: Groups, prices: Mapping[str, float]) -> str:
    """Format all groups as Markdown, the fastest environment of each task first."""
    rows = [
        row
        for task in sorted(groups)
        for row in _rows(task, _label(task, groups), groups[task], prices)
    ]
    lines = [
        "# The same training on different hardware",
        "",
        "Seconds per epoch of fine-tuning are the median of the runs; scores are those of the "
        "newest run, in brackets 95 % intervals; times is relative to the fastest environment.",
        "",
        "| architecture | recipe | machine | backend | precision | runs | seconds per epoch "
        "| times | test accuracy | test macro-F1 | EUR per epoch |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _rows(
    task: Task,
    label: str,
    environments: Mapping[Environment, list[Training]],
    prices: Mapping[str, float],
) -> list[str]:
    taken = {place: _seconds(trainings) for place, trainings in environments.items()}
    rows = []
    for place in sorted(taken, key=taken.__getitem__):
        seconds, price = taken[place], prices.get(place.machine)
        cells = [
            f"`{task.architecture}`",
            *map(markdown_cell, (label, place.machine, place.backend, place.precision)),
            *(str(len(environments[place])), f"{seconds:.2f}"),
            f"{seconds / min(taken.values()):.2f}",
            *_scores(environments[place][0]),
            "" if price is None else f"{seconds / 3600 * price:.4g}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _label(task: Task, tasks: Iterable[Task]) -> str:
    """Return a task's recipe and images, and the digests needed to distinguish it from others."""
    alike = [other for other in tasks if other[:3] == task[:3]]
    digests = [
        f", {name} {getattr(task, name)[:8]}"
        for name in ("settings", "data")
        if len({getattr(other, name) for other in alike}) > 1
    ]
    return f"{task.recipe}, {task.images} images" + "".join(digests)


def _scores(training: Training) -> list[str]:
    test = registry.training_report(training).get("test", {})
    return [
        format_estimate(test[name] if name in test else {"value": training.metrics[f"test_{name}"]})
        for name in ("accuracy", "macro_f1")
    ]


def _seconds(trainings: Sequence[Training]) -> float:
    return max(median(one.metrics["seconds_per_epoch"] for one in trainings), 1e-9)


def _task(training: Training) -> Task:
    known = {name: value for name, value in training.parameters.items() if name not in EXCLUDED}
    settings = hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()
    return Task(
        training.tags.get("architecture", "unknown"),
        known.get("recipe", "unknown"),
        known.get("train_images", "unknown"),
        settings,
        training.data,
    )


def _environment(training: Training) -> Environment:
    known = {
        name: training.tags.get(f"{group}.{name}", "unknown")
        for group, names in (
            ("hardware", ("cpu", "cores", "gpu")),
            ("computed", ("backend", "precision", "devices")),
        )
        for name in names
    }
    on_gpu = "gpu" in known["devices"] or known["devices"] == "unknown"
    device_name = provenance.device_name(known, on_gpu=on_gpu)
    return Environment(device_name, known["backend"], known["precision"])
