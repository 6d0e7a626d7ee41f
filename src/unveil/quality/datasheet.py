"""Write the datasheet of the data, with plots.

From ``manifest.parquet``, ``summary.json``, ``validation.json``, ``provenance`` in ``params.yaml``
and, after a label audit, ``audit.json``. Writes ``data/05_reports/data_card.md`` and plots of
distributions, without faces, to ``data/05_reports/data_card``. Command: ``unveil data card``. The
headings are those of Gebru et al. 2021, "Datasheets for Datasets" (CACM 64:12), section 3.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from unveil.common import missing_files
from unveil.common.csv_writer import markdown_cell
from unveil.common.files import atomic_write, read_json, read_parquet, sha256
from unveil.common.paths import (
    AUDIT_COUNTS,
    DATA_CARD,
    DATA_CARD_PLOTS,
    MANIFEST,
    SUMMARY,
    VALIDATION,
)
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.config.schema import COLUMNS
from unveil.data import synthetic
from unveil.rendering import plots

OWN_COLUMNS = {*COLUMNS, "quarantine"}

SATISFIED = ("kept", "quarantined")
"""Statuses of rules that the faces in use satisfy."""

SYNTHETIC = (
    "> **Synthetic.** These faces are drawings, made by `unveil sample`. Neither this data nor a "
    "model trained on it says anything about real faces."
)
SAMPLE_PROVENANCE = {
    "title": "The embedded sample of synthetic faces",
    "creators": "this program",
    "purpose": "to run every step without any data",
    "source": "`unveil sample`, from a seed",
    "collected": "not collected: drawn by the program",
    "consent": "not needed: no person is pictured",
    "labelled_by": "the program, which draws the labelled expression",
    "licence": "that of the program",
}
QUESTIONS = {
    "Motivation": {"Created by": "creators", "Purpose": "purpose"},
    "Collection": {
        "Source": "source",
        "Collected": "collected",
        "Consent": "consent",
        "Labelled by": "labelled_by",
    },
    "Distribution and maintenance": {"Licence": "licence", "Contact": "contact"},
}
"""Questions for the data owner: keys of ``provenance``, by heading."""


def make(params: Params) -> str:
    """Write the datasheet and its plots; return the Markdown text."""
    faces = read_parquet(MANIFEST, made_by="unveil manifest")
    summary = read_json(SUMMARY, made_by="unveil manifest")
    verdict = read_json(VALIDATION, made_by="unveil validate")
    drawn = synthetic.is_synthetic(faces["member"])
    used = faces[faces["quarantine"] == ""]
    with atomic_write(DATA_CARD_PLOTS) as folder:
        folder.mkdir()
        plots.class_balance(folder / "balance.png", _counts(used, params))
        plots.image_quality(folder / "quality.png", used, params.classes)
    provenance = SAMPLE_PROVENANCE if drawn else vars(params.provenance)
    parts = [
        f"# Data sheet: {markdown_cell(provenance['title']) or 'untitled'}",
        SYNTHETIC if drawn else "",
        "Based on *Datasheets for Datasets* (Gebru et al. 2021). Labels describe the *apparent* "
        "expression, never what a person feels.",
        *_provenance(provenance),
        *_composition(faces, used, params),
        *_dependence(verdict.get("measured", {})),
        *_cleaning(summary),
        *_validation(verdict),
        *_limits(used, params, verdict=verdict, drawn=drawn),
    ]
    sheet = "\n\n".join(part for part in parts if part) + "\n"
    with atomic_write(DATA_CARD) as path:
        path.write_text(sheet)
    return sheet


def _provenance(provenance: Mapping[str, Any]) -> Iterable[str]:
    for title, questions in QUESTIONS.items():
        answers = {name: markdown_cell(provenance.get(key, "")) for name, key in questions.items()}
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
    yield f"![Share of each class in each split]({DATA_CARD_PLOTS.name}/balance.png)"
    yield f"![Brightness, contrast and sharpness of each class]({DATA_CARD_PLOTS.name}/quality.png)"
    yield "### Groups"
    attributes = [column for column in faces if column not in OWN_COLUMNS]
    if not attributes:
        yield "No attributes of the people are given, and none are inferred from faces."
    for column in attributes:
        yield _group(used, column, params)


def _group(used: pd.DataFrame, column: str, params: Params) -> str:
    groups = params.rules["attributes_are_groups"]
    values = used[column].fillna("not known").astype(str)
    if column in groups["leave_out"] or values.nunique() > groups["max_groups"]:
        return f"`{markdown_cell(column)}`: {values.nunique()} values, not shown as groups."
    cells = pd.crosstab(values, used["label"]).reindex(columns=list(params.classes), fill_value=0)
    rows = [
        [group, sum(row), *_shares(row, params)]
        for group, row in zip(cells.index, cells.to_numpy().tolist(), strict=True)
    ]
    return _table([column, "faces", *params.classes], rows)


def _shares(cells: list[int], params: Params) -> Iterable[str]:
    """Yield the fraction of each class in a group, or *insufficient data* under the minimum."""
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
        f"Dropped class folders: {_listed(dropped)}. Other files in the archive: "
        f"{ignored}. Each face is decoded to upright gray pixels; nothing else is changed."
    )
    reasons = sorted(summary["quarantined"].items())
    yield _table(["left out because", "images"], reasons) if reasons else "No image was left out."
    kinds = {"exact_twins": "Exact duplicates", "near_twins": "Near duplicates"}
    yield "\n".join(
        f"- {name}: {_listed(summary[kind])}" for kind, name in kinds.items() if kind in summary
    )


def _validation(verdict: Mapping[str, Any]) -> Iterable[str]:
    yield "## Validation"
    yield _table(
        ["rule", "status", "faces, or cells"],
        [[rule["sentence"], rule["status"], _rule_counts(rule)] for rule in verdict["rules"]],
    )


def _dependence(measured: Mapping[str, Any]) -> Iterable[str]:
    """Yield the association of labels with groups and image quality, 0 (none) to 1."""
    rows = [
        [row["member"], _interval(row)]
        for name in ("group_dependence", "quality_dependence")
        for row in measured.get(name, ())
    ]
    if rows:
        yield "### Dependence of labels"
        yield "Bias-corrected Cramer's V with its 95 % interval, in each split; 0 is none, 1 full."
        yield _table(["split/of", "V"], rows)


def _interval(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "*insufficient data*"
    return f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _rule_counts(rule: Mapping[str, Any]) -> str:
    counts = {"": "broken_by", "left out": "left_out", "too few to judge": "insufficient"}
    return ", ".join(f"{rule[key]} {name}".strip() for name, key in counts.items() if rule[key])


def _limits(
    used: pd.DataFrame, params: Params, *, verdict: Mapping[str, Any], drawn: bool
) -> Iterable[str]:
    yield "## Uses and known limits"
    limits = [
        f"Suitable for classifying {', '.join(params.classes)} as a face *shows* them, and for no "
        "claim about feelings, character, health or identity.",
        _label_audit(),
    ]
    unheld = [rule for rule in verdict["rules"] if rule["status"] not in SATISFIED]
    limits += [f"{rule['status'].capitalize()}: {rule['sentence']}" for rule in unheld]
    if not [column for column in used if column not in OWN_COLUMNS]:
        limits.append("Fairness across groups of people cannot be measured: no groups are given.")
    if drawn:
        limits.append("Drawings are simpler than photographs: expect lower accuracy on real faces.")
    yield "\n".join(f"- {limit}" for limit in limits)


def _label_audit() -> str:
    # The file exists from the start, so that DVC reruns the stage after an audit.
    missing_files.refuse_missing(AUDIT_COUNTS)
    audit = read_json(AUDIT_COUNTS, made_by="unveil data audit") if AUDIT_COUNTS.exists() else {}
    if not audit:
        return "Labels were not audited; run `unveil data audit`."
    older = "" if audit["manifest"] == sha256(MANIFEST) else " of an earlier version of these faces"
    return (
        f"An audit{older} suspects {sum(audit['suspected'].values())} of {audit['faces']} labels "
        f"({_listed(audit['suspected'])}); suspected labels are not necessarily wrong."
    )


def _counts(used: pd.DataFrame, params: Params) -> pd.DataFrame:
    table = pd.crosstab(used["split"], used["label"])
    return table.reindex(index=list(SPLITS), columns=list(params.classes), fill_value=0)


def _listed(counts: Mapping[str, Any]) -> str:
    # For duplicates, the number of groups comes first.
    ordered = sorted(counts.items(), key=lambda pair: pair[0] != "groups")
    named = (f"{count} {markdown_cell(name).replace('_', ' ')}" for name, count in ordered)
    return ", ".join(named) or "none"


def _table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    lines = [[markdown_cell(value) for value in row] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
