"""The same training on different hardware: what an epoch takes, and costs, and what comes of it.

Takes the evaluated trainings MLflow knows, makes ``data/05_reports/hardware.md``. Command:
``unveil compare --by hardware``.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from unveil import registry
from unveil.common.csv_writer import cell
from unveil.common.errors import UserError, unknown
from unveil.common.files import replacing
from unveil.common.paths import HARDWARE
from unveil.config import provenance
from unveil.evaluation.paired_comparison import percent
from unveil.registry import Training


@dataclass(frozen=True)
class Place:
    """Where trainings ran, as far as it decides their speed."""

    machine: str
    backend: str
    precision: str


ELSEWHERE = {"training.seed", "training.precision"}
"""Parameters that make no other training: one is chance, the other a part of the place."""


class Task(NamedTuple):
    """A training that may run anywhere; ``settings`` and ``data`` are digests.

    The first is of all parameters but ``ELSEWHERE``, the other the md5 of the packed faces.
    """

    architecture: str
    recipe: str
    images: str
    settings: str
    data: str


MOST = 100_000.0
"""EUR for an hour of a machine; more is a slip of the pen."""

Groups = dict[Task, dict[Place, list[Training]]]


def compare(prices: Mapping[str, float]) -> str:
    """Write the table of what ran where, and give it.

    ``prices`` are EUR per hour by a part of a machine's name.
    """
    trainings = registry.evaluated()
    if not trainings:
        raise UserError("MLflow knows no evaluated training; `unveil publish` tells it of ours")
    groups = grouped(trainings)
    asked = by_machine(prices, {place.machine for task in groups.values() for place in task})
    text = table(groups, asked)
    with replacing(HARDWARE) as path:
        path.write_text(text)
    return text


def grouped(trainings: Sequence[Training]) -> Groups:
    """Put trainings of one task on one machine together, each group in the order given."""
    groups: Groups = defaultdict(lambda: defaultdict(list))
    for one in trainings:
        groups[_task(one)][_place(one)].append(one)
    return groups


def parsed(said: Sequence[str]) -> dict[str, float]:
    """Read prices given as ``NAME=EUR_PER_HOUR``."""
    prices = {}
    for place, one in enumerate(said, start=1):
        name, _, value = one.rpartition("=")
        try:
            prices[name] = float(value)
        except ValueError:
            prices[name] = -1
        if not name or not 0 <= prices[name] <= MOST:
            raise UserError(
                f"unknown price {one!r}, from 0 to {MOST:,.0f}; write NAME=EUR_PER_HOUR, such as "
                "H100=2.50"
            )
        if len(prices) < place:
            raise UserError(f"two prices for {name!r}: {', '.join(said)}; give one")
    return prices


def by_machine(prices: Mapping[str, float], machines: set[str]) -> dict[str, float]:
    """Give each machine its price; a name that is part of none's is a ``UserError``."""
    found: dict[str, float] = {}
    for name, price in prices.items():
        meant = [machine for machine in machines if name.lower() in machine.lower()]
        if not meant:
            raise unknown("machine", name, sorted(machines))
        for machine in meant:
            if found.setdefault(machine, price) != price:
                raise UserError(
                    f"two prices for {machine!r}: {found[machine]:g} and {price:g}, by {name!r}; "
                    "name machines by more of their names"
                )
    return found


def table(groups: Groups, prices: Mapping[str, float]) -> str:
    """Write all groups as Markdown, the quickest place of each task first."""
    rows = [
        row
        for task in sorted(groups)
        for row in _rows(task, _told(task, groups), groups[task], prices)
    ]
    lines = [
        "# The same training on different hardware",
        "",
        "Seconds per epoch of fine-tuning, the median of the runs; scores of the newest run, in "
        "brackets 95 % intervals; times: of the quickest place.",
        "",
        "| architecture | recipe | machine | backend | precision | runs | seconds per epoch "
        "| times | test accuracy | test macro-F1 | EUR per epoch |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


def _rows(
    task: Task,
    told: str,
    places: Mapping[Place, list[Training]],
    prices: Mapping[str, float],
) -> list[str]:
    taken = {place: _seconds(trainings) for place, trainings in places.items()}
    rows = []
    for place in sorted(taken, key=taken.__getitem__):
        seconds, price = taken[place], prices.get(place.machine)
        cells = [
            f"`{task.architecture}`",
            *map(cell, (told, place.machine, place.backend, place.precision)),
            *(str(len(places[place])), f"{seconds:.2f}"),
            f"{seconds / min(taken.values()):.2f}",
            *_scores(places[place][0]),
            "" if price is None else f"{seconds / 3600 * price:.4g}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _told(task: Task, tasks: Iterable[Task]) -> str:
    """Name a task's recipe and images, and of its digests those that tell it from the others."""
    alike = [other for other in tasks if other[:3] == task[:3]]
    digests = [
        f", {name} {getattr(task, name)[:8]}"
        for name in ("settings", "data")
        if len({getattr(other, name) for other in alike}) > 1
    ]
    return f"{task.recipe}, {task.images} images" + "".join(digests)


def _scores(training: Training) -> list[str]:
    test = registry.reported(training).get("test", {})
    return [
        percent(test[name]) if name in test else f"{100 * training.metrics[f'test_{name}']:.2f}"
        for name in ("accuracy", "macro_f1")
    ]


def _seconds(trainings: Sequence[Training]) -> float:
    return max(median(one.metrics["seconds_per_epoch"] for one in trainings), 1e-9)


def _task(training: Training) -> Task:
    known = {name: value for name, value in training.parameters.items() if name not in ELSEWHERE}
    settings = hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()
    return Task(
        training.tags.get("architecture", "unknown"),
        known.get("recipe", "unknown"),
        known.get("train_images", "unknown"),
        settings,
        training.data,
    )


def _place(training: Training) -> Place:
    known = {
        name: training.tags.get(f"{group}.{name}", "unknown")
        for group, names in (
            ("hardware", ("cpu", "cores", "gpu")),
            ("computed", ("backend", "precision", "devices")),
        )
        for name in names
    }
    on_gpu = "gpu" in known["devices"] or known["devices"] == "unknown"
    machine = provenance.machine(known, on_gpu=on_gpu)
    return Place(machine, known["backend"], known["precision"])
