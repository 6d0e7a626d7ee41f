"""The report of ``unveil bench train``: Markdown tables, with the machine and the date.

Takes networks of ``params.yaml`` and synthetic or packed faces; yields one table at a time, since
all of them take half an hour on two cores.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tqdm import tqdm

from unveil.benchmarks.training import temporary_project
from unveil.benchmarks.training.alternating_runs import Row, alternate, fastest, start_variants
from unveil.common.files import temporary_folder
from unveil.common.paths import PARAMS
from unveil.config import params as parameters
from unveil.config.params import Params
from unveil.config.provenance import hardware, requirements
from unveil.networks.cnn import Cnn

LEFT_OUT = ("input", "augmentation", "optimizer", "python")

FROZEN_EPOCHS = 10
"""Epochs of stage 1, as in the recipe ``full``."""

TIMES = (1, 2, 4, 8)
"""Numbers of training rows in the last table, as multiples of four times ``Plan.images``."""


@dataclass(frozen=True)
class Plan:
    """Training images, epochs per fit, fits per network, recipe, and kind of faces."""

    images: int
    epochs: int
    repeats: int
    recipe: str
    drawn: bool


def pages(keys: list[str], plan: Plan) -> Iterator[str]:
    """Measure the named architectures; yields each table as soon as it is complete."""
    with temporary_folder("speed") as folder:
        temporary_project.make(folder, images=plan.images, recipe=plan.recipe, drawn=plan.drawn)
        params = parameters.load(folder / PARAMS)
        yield _introduction(params, plan)
        yield from _epoch_tables(folder, keys, params, plan)
        heads = [key for key in keys if params.schedules[key].stages[0].trainable_from == "head"]
        if heads:
            yield _cached_features_table(folder, heads)
        if any(isinstance(one, Cnn) for one in params.architectures.values()):
            yield _scaling_table(folder, params, plan)


def markdown(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Format a Markdown table."""
    lines = [[*heads], ["---" for _ in heads], *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _introduction(params: Params, plan: Plan) -> str:
    machine, faces = hardware(), "synthetic" if plan.drawn else "packed"
    return (
        f"{date.today()}, {machine['cores']} cores of {machine['cpu']}, GPU {machine['gpu']}, "
        f"{', '.join(requirements())}. Recipe {params.recipe}, batches of "
        f"{params.training.batch_size}, {plan.images} {faces} faces of {params.data.image_size} "
        f"pixels for training and {temporary_project.validation_count(plan.images)} for "
        "validation. Each variant trains in a process of its own; the variants take turns epoch by "
        f"epoch. The fastest of {plan.epochs} epochs of {plan.repeats} fits counts, after one "
        "that builds the graph."
    )


def _epoch_tables(folder: Path, keys: list[str], params: Params, plan: Plan) -> Iterator[str]:
    compared, parts, peaks = [], [], []
    with (
        start_variants(folder, ("baseline", "unveil", "auto", *LEFT_OUT)) as variants,
        start_variants(folder, ["peak"]) as counting,
    ):
        for key in keys:
            rows: dict[str, list[Row]] = {name: [] for name in variants}
            for _ in range(plan.repeats):
                for name, more in alternate(variants, key, epochs=plan.epochs).items():
                    rows[name] += more
            fastest_rows = {name: fastest(found) for name, found in rows.items()}
            counted = counting["peak"].start(key, epochs=1)
            peaks.append(counted["peak"])
            compared.append(_comparison_row(key, fastest_rows, counted))
            parts.append((key, counted, fastest_rows))
    yield (
        "Seconds per epoch with validation: the Keras baseline and unveil in float32, and unveil "
        "in the precision chosen by `precision: auto` here.\n\n"
    ) + markdown(
        (
            *("architecture", "baseline, s", "unveil, s", "times as fast"),
            *("auto, s", "checkpoint, s", "cores busy"),
        ),
        compared,
    )
    shares = [_peak_row(*part, plan=plan, peak=max(peaks)) for part in parts]
    yield (
        f"The machine's peak is {max(peaks) / 1e9:.1f} GFLOP/s, for a product of two float32 "
        "matrices. The last columns are the reduction of an epoch's time without a part.\n\n"
        + markdown(
            ("architecture", "MFLOP per image", "images/s", "GFLOP/s", "of the peak", *LEFT_OUT),
            shares,
        )
    )


def _comparison_row(key: str, fastest_rows: dict[str, Row], counted: Row) -> tuple[str, ...]:
    baseline, ours = fastest_rows["baseline"], fastest_rows["unveil"]
    busy = [f"{row['cpu'] / (row['seconds'] + row['kept']):.1f}" for row in (baseline, ours)]
    auto = "bfloat16" if counted["bfloat16"] else "float32"
    return (
        f"`{key}`",
        f"{baseline['seconds']:.2f}",
        f"{ours['seconds']:.2f}",
        f"{baseline['seconds'] / ours['seconds']:.2f}",
        f"{fastest_rows['auto']['seconds']:.2f} in {auto}",
        f"{ours['kept']:.2f}",
        " and ".join(busy),
    )


def _peak_row(
    key: str, counted: Row, fastest_rows: dict[str, Row], *, plan: Plan, peak: float
) -> tuple[str, ...]:
    seconds = fastest_rows["unveil"]["seconds"]
    work = (
        plan.images * counted["learned"]
        + temporary_project.validation_count(plan.images) * counted["judged"]
    )
    without = [1 - fastest_rows[name]["seconds"] / seconds for name in LEFT_OUT]
    return (
        f"`{key}`",
        f"{counted['learned'] / 1e6:.0f}",
        f"{plan.images / seconds:.0f}",
        f"{work / seconds / 1e9:.1f}",
        f"{work / seconds / peak:.0%}",
        *(f"{part:.0%}" for part in without),
    )


def _cached_features_table(folder: Path, keys: list[str]) -> str:
    rows = []
    with start_variants(folder, ("cached", "every epoch")) as variants:
        for key in tqdm(keys, desc="stage 1", unit=" networks"):
            results = {name: one.start(key, epochs=FROZEN_EPOCHS) for name, one in variants.items()}
            cached, every = results["cached"], results["every epoch"]
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
        f"Stage 1: {FROZEN_EPOCHS} epochs of the head on a backbone of random weights. The "
        "backbone runs in every epoch on newly augmented faces, or once on unchanged faces.\n\n"
        + markdown(
            (
                *("architecture", "backbone every epoch, s", "backbone once, s", "times as fast"),
                *("validation macro-F1, every epoch", "once", "difference"),
            ),
            rows,
        )
    )


def _scaling_table(folder: Path, params: Params, plan: Plan) -> str:
    networks = {key: one for key, one in params.architectures.items() if isinstance(one, Cnn)}
    key = min(networks, key=lambda name: sum(networks[name].filters))
    rows = []
    for times in TIMES:
        grown = temporary_project.repeat(folder, 4 * times)
        with start_variants(grown, ["unveil"]) as variants:
            row = fastest(alternate(variants, key, epochs=2)["unveil"])
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
    text = f"More rows, `{key}`. Memory is the peak of memory that is not backed by a file.\n\n"
    return text + markdown(
        ("rows", "packed, MB", "seconds per epoch", "seconds per 1,000", "memory, MB"), rows
    )
