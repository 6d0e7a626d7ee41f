"""The MLflow description of a training: network, data, recipe, score and how to repeat it."""

from collections.abc import Iterator, Mapping
from typing import Any

from unveil.data import real_or_synthetic
from unveil.evaluation.metrics import format_estimate
from unveil.evaluation.training_conditions import conditions

Training = Mapping[str, Any]


def training_note(training: Training, report: Mapping[str, Any]) -> str:
    """Return the description in Markdown; ``report`` is empty before the evaluation."""
    return "\n".join(_lines(training, report))


def _lines(training: Training, report: Mapping[str, Any]) -> Iterator[str]:
    parameters, tags = training["parameters"], training["tags"]
    key, commit = str(tags["architecture"]), str(tags.get("git_commit", "unknown"))
    recipe, seed = (parameters.get(name, "unknown") for name in ("recipe", "training.seed"))
    yield _score(report)
    yield ""
    yield f"- architecture: `{key}`, {_settings(parameters, 'network.')}"
    for remark in conditions(parameters, report.get("train", {}).get("images")):
        yield f"- **{remark}**"
    yield f"- recipe: `{recipe}`, seed {seed}"
    yield f"- faces: {tags.get('faces', 'unknown')}"
    for name, one in training["data"].items():
        yield f"- {name} data: `{one['path']}`, md5 `{one['md5']}`"
    if "trial" in tags:
        yield from ("", f"Trial {tags['trial']} of the search `unveil sweep {key}`; not evaluated.")
        return
    yield from ("", "To repeat it, with the same faces in `data/01_raw/faces.zip`:", "", "```sh")
    yield from _checkout(commit, faces=str(tags.get("faces", "")))
    yield f"make train-all RECIPE={recipe} ARCHITECTURES={key}  # seed {seed}"
    yield from (
        "```",
        "",
        "The last point of a curve is the evaluated network; those before it are",
    )
    yield "epochs, where the training images are augmented."


def _checkout(commit: str, *, faces: str) -> Iterator[str]:
    if commit.endswith("-dirty"):
        commit = f"{commit.removesuffix('-dirty')}  # and the changes that were not committed"
    if commit != "unknown":
        yield f"git checkout {commit}"
    # `make train-all` draws the same faces again.
    if faces != real_or_synthetic.DRAWN:
        yield "dvc pull data/01_raw/faces.zip  # if a remote has them"


def _score(report: Mapping[str, Any]) -> str:
    if not report:
        return "Not evaluated yet."
    test = report["test"]
    return (
        f"**Test macro-F1 {format_estimate(test['macro_f1'])}** on {test['images']:,} images "
        "(95 % interval in brackets)"
    )


def _settings(parameters: Mapping[str, str], prefix: str) -> str:
    named = {name: value for name, value in parameters.items() if name.startswith(prefix)}
    return ", ".join(f"{name.removeprefix(prefix)} {value}" for name, value in named.items())
