"""What was measured, as tables in Markdown with the machine and the date.

Takes networks of ``params.yaml`` and faces that are drawn or packed; gives a table at a time, since
all of them take half an hour on two cores.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tqdm import tqdm

from unveil.benchmarks.training import project
from unveil.benchmarks.training.turns import Row, alternate, best, crew
from unveil.common.files import temporary
from unveil.common.paths import PARAMS
from unveil.config import params as parameters
from unveil.config.params import Params
from unveil.config.provenance import hardware, requirements
from unveil.networks.cnn import Cnn

LEFT_OUT = ("input", "augmentation", "optimizer", "python")

FROZEN_EPOCHS = 10
"""Of stage 1, as the recipe ``full`` has it."""

TIMES = (1, 2, 4, 8)
"""Rows of the last table, in those of the first four times over."""


@dataclass(frozen=True)
class Plan:
    """What is measured: images to learn from, epochs of a fit, fits of a network, and the faces."""

    images: int
    epochs: int
    repeats: int
    recipe: str
    drawn: bool


def pages(keys: list[str], plan: Plan) -> Iterator[str]:
    """Measure the architectures of these names; gives each table as soon as it is known."""
    with temporary("speed") as folder:
        project.make(folder, images=plan.images, recipe=plan.recipe, drawn=plan.drawn)
        params = parameters.load(folder / PARAMS)
        yield _opening(params, plan)
        yield from _epochs(folder, keys, params, plan)
        heads = [key for key in keys if params.schedules[key].stages[0].trainable_from == "head"]
        if heads:
            yield _frozen(folder, heads)
        if any(isinstance(one, Cnn) for one in params.architectures.values()):
            yield _rows(folder, params, plan)


def markdown(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a table."""
    lines = [[*heads], ["---" for _ in heads], *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _opening(params: Params, plan: Plan) -> str:
    machine, faces = hardware(), "drawn" if plan.drawn else "packed"
    return (
        f"{date.today()}, {machine['cores']} cores of {machine['cpu']}, GPU {machine['gpu']}, "
        f"{', '.join(requirements())}. Recipe {params.recipe}, batches of "
        f"{params.training.batch_size}, {plan.images} {faces} faces of {params.data.image_size} "
        f"pixels to learn from and {project.judged(plan.images)} to judge by. Each way learns in a "
        f"process of its own, one epoch in turn; the best of {plan.epochs} epochs of "
        f"{plan.repeats} fits counts, after one that builds the graph."
    )


def _epochs(folder: Path, keys: list[str], params: Params, plan: Plan) -> Iterator[str]:
    compared, parts, peaks = [], [], []
    with (
        crew(folder, ("usual", "unveil", "auto", *LEFT_OUT)) as ways,
        crew(folder, ["peak"]) as counting,
    ):
        for key in keys:
            rows: dict[str, list[Row]] = {name: [] for name in ways}
            for _ in range(plan.repeats):
                for name, more in alternate(ways, key, epochs=plan.epochs).items():
                    rows[name] += more
            quickest = {name: best(found) for name, found in rows.items()}
            counted = counting["peak"].begin(key, epochs=1)
            peaks.append(counted["peak"])
            compared.append(_compared(key, quickest, counted))
            parts.append((key, counted, quickest))
    yield (
        "An epoch with its validation, against the usual way, both in float32; and in what "
        "`precision: auto` takes for it here.\n\n"
    ) + markdown(
        (
            *("architecture", "usual, s", "unveil, s", "times as fast"),
            *("auto, s", "checkpoint, s", "cores busy"),
        ),
        compared,
    )
    shares = [_share(*part, plan=plan, peak=max(peaks)) for part in parts]
    yield (
        f"Of the machine's peak, {max(peaks) / 1e9:.1f} GFLOP/s in a product of two matrices of "
        "float32, and how much shorter an epoch is without a part.\n\n"
        + markdown(
            ("architecture", "MFLOP an image", "images/s", "GFLOP/s", "of the peak", *LEFT_OUT),
            shares,
        )
    )


def _compared(key: str, quickest: dict[str, Row], counted: Row) -> tuple[str, ...]:
    usual, ours = quickest["usual"], quickest["unveil"]
    busy = [f"{row['cpu'] / (row['seconds'] + row['kept']):.1f}" for row in (usual, ours)]
    return (
        f"`{key}`",
        f"{usual['seconds']:.2f}",
        f"{ours['seconds']:.2f}",
        f"{usual['seconds'] / ours['seconds']:.2f}",
        f"{quickest['auto']['seconds']:.2f} in {'bfloat16' if counted['bfloat16'] else 'float32'}",
        f"{ours['kept']:.2f}",
        " and ".join(busy),
    )


def _share(
    key: str, counted: Row, quickest: dict[str, Row], *, plan: Plan, peak: float
) -> tuple[str, ...]:
    seconds = quickest["unveil"]["seconds"]
    work = plan.images * counted["learned"] + project.judged(plan.images) * counted["judged"]
    without = [1 - quickest[name]["seconds"] / seconds for name in LEFT_OUT]
    return (
        f"`{key}`",
        f"{counted['learned'] / 1e6:.0f}",
        f"{plan.images / seconds:.0f}",
        f"{work / seconds / 1e9:.1f}",
        f"{work / seconds / peak:.0%}",
        *(f"{part:.0%}" for part in without),
    )


def _frozen(folder: Path, keys: list[str]) -> str:
    rows = []
    with crew(folder, ("cached", "every epoch")) as ways:
        for key in tqdm(keys, desc="stage 1", unit=" networks"):
            told = {name: one.begin(key, epochs=FROZEN_EPOCHS) for name, one in ways.items()}
            cached, every = told["cached"], told["every epoch"]
            whole = cached["passed"] + FROZEN_EPOCHS * cached["seconds"]
            rows.append(
                (
                    f"`{key}`",
                    f"{FROZEN_EPOCHS * every['seconds']:.1f}",
                    f"{whole:.1f}",
                    f"{FROZEN_EPOCHS * every['seconds'] / whole:.1f}",
                    f"{every['macro_f1']:.3f}",
                    f"{cached['macro_f1']:.3f}",
                    f"{cached['macro_f1'] - every['macro_f1']:+.3f}",
                )
            )
    return (
        f"Stage 1, {FROZEN_EPOCHS} epochs of the head over a backbone of random weights: run in "
        "every epoch on faces changed anew, or once on the faces as they are.\n\n"
        + markdown(
            (
                *("architecture", "every epoch, s", "once, s", "times as fast"),
                *("validation macro-F1, every epoch", "once", "difference"),
            ),
            rows,
        )
    )


def _rows(folder: Path, params: Params, plan: Plan) -> str:
    networks = {key: one for key, one in params.architectures.items() if isinstance(one, Cnn)}
    key = min(networks, key=lambda name: sum(networks[name].filters))
    rows = []
    for times in TIMES:
        grown = project.grown(folder, 4 * times)
        with crew(grown, ["unveil"]) as ways:
            row = best(alternate(ways, key, epochs=2)["unveil"])
        count = 4 * times * plan.images
        rows.append(
            (
                f"{count:,}",
                f"{count * params.data.image_size**2 / 1e6:.1f}",
                f"{row['seconds']:.2f}",
                f"{1000 * row['seconds'] / count:.3f}",
                f"{row['megabytes']:.0f}",
            )
        )
    return f"More rows, `{key}`; memory is what no file backs, at most.\n\n" + markdown(
        ("rows", "packed, MB", "seconds an epoch", "seconds per 1,000", "memory, MB"), rows
    )
