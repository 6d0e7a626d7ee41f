"""manifest, summary and verdict -> a data sheet for people, with plots.

Takes ``manifest.parquet``, ``summary.json``, ``validation.json``, what ``params.yaml`` says under
``provenance`` and, where there was one, the audit's ``audit.json``; makes
``data/05_reports/data_card.md`` and pictures of distributions in ``data/05_reports/data_card``, of
a face none. Command: ``unveil data card``. The headings are those of Gebru et al. 2021, "Datasheets
for Datasets" (CACM 64:12), section 3.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from unveil.common import missing_files
from unveil.common.csv_writer import cell
from unveil.common.files import read_json, read_parquet, replacing, sha256
from unveil.common.paths import AUDITED, CARD, CARD_PLOTS, MANIFEST, SUMMARY, VERDICT
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.schema import COLUMNS
from unveil.data import synthetic
from unveil.rendering import plots

OWN = {*COLUMNS, "quarantine"}

HELD = ("kept", "quarantined")
"""Outcomes of a rule that the faces in use hold to."""

SYNTHETIC = (
    "> **Synthetic.** These faces are drawings, made by `unveil sample`. Nothing here, and nothing "
    "learned from it, is a statement about real faces."
)
DRAWN = {
    "title": "The embedded sample of drawn faces",
    "creators": "this program",
    "purpose": "to try every step where there are no faces yet",
    "source": "`unveil sample`, from a seed",
    "collected": "never: they are drawn anew each time",
    "consent": "not needed: no person was pictured",
    "labelled_by": "the program: it draws the expression it names",
    "licence": "that of the program",
}
ASKED = {
    "Motivation": {"Created by": "creators", "Purpose": "purpose"},
    "Collection": {
        "Source": "source",
        "Collected": "collected",
        "Consent": "consent",
        "Labelled by": "labelled_by",
    },
    "Distribution and maintenance": {"Licence": "licence", "Contact": "contact"},
}
"""What only the person who brought the faces can know, by heading."""


def make(params: Params) -> str:
    """Write the data sheet and its plots; gives the sheet."""
    faces = read_parquet(MANIFEST, made_by="unveil manifest")
    summary = read_json(SUMMARY, made_by="unveil manifest")
    verdict = read_json(VERDICT, made_by="unveil validate")
    drawn = synthetic.is_drawn(faces["member"])
    used = faces[faces["quarantine"] == ""]
    with replacing(CARD_PLOTS) as folder:
        folder.mkdir()
        plots.balance(folder / "balance.png", _counts(used, params))
        plots.quality(folder / "quality.png", used, params.classes)
    said = DRAWN if drawn else vars(params.provenance)
    parts = [
        f"# Data sheet: {cell(said['title']) or 'untitled'}",
        SYNTHETIC if drawn else "",
        "What was given, measured and left out. After *Datasheets for Datasets* (Gebru et al. "
        "2021). Labels are of the *apparent* expression, never of what a person feels.",
        *_given(said),
        *_composition(faces, used, params),
        *_dependence(verdict.get("measured", {})),
        *_cleaning(summary),
        *_judged(verdict),
        *_limits(used, params, verdict=verdict, drawn=drawn),
    ]
    sheet = "\n\n".join(part for part in parts if part) + "\n"
    with replacing(CARD) as path:
        path.write_text(sheet)
    return sheet


def _given(said: Mapping[str, Any]) -> Iterable[str]:
    for title, asked in ASKED.items():
        answers = {name: cell(said.get(key, "")) for name, key in asked.items()}
        yield f"## {title}"
        yield "\n".join(f"- {name}: {text or 'not stated'}" for name, text in answers.items())


def _composition(faces: pd.DataFrame, used: pd.DataFrame, params: Params) -> Iterable[str]:
    yield "## Composition"
    left_out = len(faces) - len(used)
    yield f"{len(faces)} images, {len(used)} in use, {left_out} left out (see *Cleaning*)."
    counts = _counts(used, params)
    rows = [
        [name, *row, sum(row)]
        for name, row in zip(counts.index, counts.to_numpy().tolist(), strict=True)
    ]
    yield _table(["split", *counts.columns, "all"], rows)
    yield f"![Share of each class in each split]({CARD_PLOTS.name}/balance.png)"
    yield f"![Brightness, contrast and sharpness of each class]({CARD_PLOTS.name}/quality.png)"
    yield "### Groups"
    attributes = [column for column in faces if column not in OWN]
    if not attributes:
        yield "No attribute of the people is given, and none is guessed from a face."
    for column in attributes:
        yield _group(used, column, params)


def _group(used: pd.DataFrame, column: str, params: Params) -> str:
    groups = params.rules["attributes_are_groups"]
    values = used[column].fillna("not known").astype(str)
    if column in groups["leave_out"] or values.nunique() > groups["max_groups"]:
        return f"`{cell(column)}`: {values.nunique()} values, not shown as groups."
    cells = pd.crosstab(values, used["label"]).reindex(columns=list(params.classes), fill_value=0)
    rows = [
        [group, sum(row), *_shares(row, params)]
        for group, row in zip(cells.index, cells.to_numpy().tolist(), strict=True)
    ]
    return _table([column, "faces", *params.classes], rows)


def _shares(cells: list[int], params: Params) -> Iterable[str]:
    """Give each class's share of a group; too few faces, by the rules' bounds, give no number."""
    enough = sum(cells) >= params.rules["label_independent_of_group"]["min_images"]
    least = params.rules["group_in_every_class"]["min_images"]
    return (
        f"{cell / sum(cells):.0%}" if enough and cell >= least else "*insufficient data*"
        for cell in cells
    )


def _cleaning(summary: Mapping[str, Any]) -> Iterable[str]:
    yield "## Cleaning"
    dropped, ignored = summary["dropped_classes"], summary["ignored_files"]
    yield (
        f"Class folders that were left out: {_listed(dropped)}. Other files in the archive: "
        f"{ignored}. Each face is decoded to upright gray pixels; nothing else is changed."
    )
    reasons = sorted(summary["quarantined"].items())
    yield _table(["left out because", "images"], reasons) if reasons else "No image was left out."
    kinds = {"exact_twins": "Exact twins", "near_twins": "Near twins"}
    yield "\n".join(
        f"- {name}: {_listed(summary[kind])}" for kind, name in kinds.items() if kind in summary
    )


def _judged(verdict: Mapping[str, Any]) -> Iterable[str]:
    yield "## What it was judged by"
    yield _table(
        ["rule", "outcome", "faces, or cells"],
        [[rule["sentence"], rule["status"], _many(rule)] for rule in verdict["rules"]],
    )


def _dependence(measured: Mapping[str, Any]) -> Iterable[str]:
    """Tell how much labels go along with groups and with light; 0 is not at all, 1 wholly."""
    rows = [
        [row["member"], _interval(row)]
        for name in ("group_dependence", "quality_dependence")
        for row in measured.get(name, ())
    ]
    if rows:
        yield "### What labels depend on"
        yield "Cramer's V, bias-corrected, with its 95 % interval, in each split."
        yield _table(["split/of", "V"], rows)


def _interval(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "*insufficient data*"
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _many(rule: Mapping[str, Any]) -> str:
    counts = {"": "broken_by", "left out": "left_out", "too few to judge": "insufficient"}
    return ", ".join(f"{rule[key]} {name}".strip() for name, key in counts.items() if rule[key])


def _limits(
    used: pd.DataFrame, params: Params, *, verdict: Mapping[str, Any], drawn: bool
) -> Iterable[str]:
    yield "## Uses and known limits"
    limits = [
        f"Fit to tell {', '.join(params.classes)} apart as a face *shows* them, and for no claim "
        "about feelings, character, health or identity.",
        _noise(),
    ]
    unheld = [rule for rule in verdict["rules"] if rule["status"] not in HELD]
    limits += [f"{rule['status'].capitalize()}: {rule['sentence']}" for rule in unheld]
    if not [column for column in used if column not in OWN]:
        limits.append("How a model treats groups of people cannot be told: no group is known.")
    if drawn:
        limits.append("Drawings are simpler than photographs: expect less on any real face.")
    yield "\n".join(f"- {limit}" for limit in limits)


def _noise() -> str:
    # The file is there from the start, so that DVC makes the sheet anew after an audit.
    missing_files.refuse_lost(AUDITED)
    found = read_json(AUDITED, made_by="unveil data audit") if AUDITED.exists() else {}
    if not found:
        return "Labels were not audited; `unveil data audit` does that."
    older = "" if found["manifest"] == sha256(MANIFEST) else " of an earlier version of these faces"
    return (
        f"An audit{older} suspects {sum(found['suspected'].values())} of {found['faces']} labels "
        f"({_listed(found['suspected'])}); they are suspicions, not errors."
    )


def _counts(used: pd.DataFrame, params: Params) -> pd.DataFrame:
    table = pd.crosstab(used["split"], used["label"])
    return table.reindex(index=list(SPLITS), columns=list(params.classes), fill_value=0)


def _listed(counts: Mapping[str, Any]) -> str:
    # Of twins, how many groups there are goes first.
    ordered = sorted(counts.items(), key=lambda pair: pair[0] != "groups")
    named = (f"{count} {cell(name).replace('_', ' ')}" for name, count in ordered)
    return ", ".join(named) or "none"


def _table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    lines = [[cell(value) for value in row] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
