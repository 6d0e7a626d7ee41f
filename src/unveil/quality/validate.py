"""Validate the manifest by the data rules, with Great Expectations.

Writes ``data/02_manifest/validation.json`` and the Data Docs in ``data/02_manifest/data_docs``.
Command: ``unveil validate``. The rules are declared in `expectations`, the tables they check are in
`dataset_statistics`; only this module and `datadocs` import Great Expectations.
"""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from unveil.common.files import atomic_write, read_parquet, sha256, write_json
from unveil.common.paths import DATA_DOCS, VALIDATION
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.quality import datadocs
from unveil.quality.dataset_statistics import rule_tables
from unveil.rules.expectations import RULES
from unveil.rules.settings import Rule

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations import Expectation

MAX_NAMED = 10
"""Maximum number of files named for a violated rule."""


def validate(manifest: Path, params: Params) -> dict[str, Any]:
    """Check all rules; write the result and the Data Docs, and return the result.

    The result has the sha256 of the ``manifest`` and, for each rule, its sentence, its policy and
    its ``status``: kept, broken, warned, quarantined, insufficient data or no reference. It counts
    the rows that violate a rule (``broken_by``), are in quarantine for it (``left_out``) or have
    too few faces (``insufficient``), names the first of them, and has their ``observed`` values,
    the ``limits`` and the ``key`` in params.yaml. ``passed`` is false if a rule is broken.
    ``measured`` has the tables of splits, classes and groups that the rules check.
    """
    faces = read_parquet(manifest, made_by="unveil manifest")
    outcomes: dict[str, ExpectationValidationResult] = {}
    with atomic_write(DATA_DOCS) as site:
        context = _context(site)
        tables = rule_tables(faces, params)
        for name, table in tqdm(tables.items(), desc="validate", unit=" tables", delay=2):
            outcomes |= _check(context, name, table=table, params=params)
        datadocs.build(context, site)
    left_out = _left_out(faces)
    rules = [
        _rule_result(rule, params, outcome=outcomes[rule.name], left_out=left_out)
        | _observed(rule, params, outcome=outcomes[rule.name], table=tables[rule.table])
        for rule in RULES
    ]
    verdict = {
        "passed": all(rule["status"] != "broken" for rule in rules),
        "manifest": sha256(manifest),
        "rules": rules,
        "measured": {
            name: table.astype(object).where(table.notna(), None).to_dict("records")
            for name, table in tables.items()
            if name not in ("archive", "faces")
        },
    }
    write_json(VALIDATION, verdict)
    return verdict


def _check(
    context: "EphemeralDataContext", name: str, *, table: pd.DataFrame, params: Params
) -> dict[str, "ExpectationValidationResult"]:
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=name)
    for rule in RULES:
        if rule.table == name:
            suite.add_expectation(_expectation(rule, params))
    batch = (
        context.data_sources.add_pandas(name)
        .add_dataframe_asset(name)
        .add_batch_definition_whole_dataframe(name)
    )
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[
            context.validation_definitions.add(
                gx.ValidationDefinition(name=name, data=batch, suite=context.suites.add(suite))
            )
        ],
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["member"],
            "return_unexpected_index_query": False,
        },
    )
    result = context.checkpoints.add(checkpoint).run(batch_parameters={"dataframe": table})
    (run,) = result.run_results.values()
    return {outcome.expectation_config.meta["rule"]: outcome for outcome in run.results}


def _expectation(rule: Rule, params: Params) -> "Expectation":
    from great_expectations import expectations

    setting = params.rules[rule.name]
    keywords = rule.expect(setting, params.classes)
    kind = getattr(expectations, keywords.pop("kind"))
    expectation: Expectation = kind(
        **keywords,
        severity="warning" if setting.policy == "warn" else "critical",
        description=datadocs.description(rule, setting),
        meta={"rule": rule.name},
    )
    return expectation


def _rule_result(
    rule: Rule,
    params: Params,
    *,
    outcome: "ExpectationValidationResult",
    left_out: dict[str, set[str]],
) -> dict[str, Any]:
    policy, result = params.rules[rule.name].policy, outcome.result
    broken = {str(row["member"]) for row in result.get("unexpected_index_list") or []}
    gone = left_out.get(rule.fault, set())
    insufficient = int(result.get("missing_count") or 0)
    judged = int(result.get("element_count") or 0) - insufficient
    if not outcome.success:
        status = "warned" if policy == "warn" else "broken"
    elif gone:
        status = "quarantined"
    elif not judged and rule.section == "sets":
        unset = params.rules[rule.name].values.get("reference") == {}
        status = "no reference" if unset else "insufficient data"
    else:
        status = "kept"
    return {
        "rule": rule.name,
        "sentence": rule.sentence,
        "policy": policy,
        "status": status,
        "broken_by": int(result.get("unexpected_count", 0)),
        "left_out": len(gone),
        "insufficient": insufficient,
        "first": _first(broken or gone),
    }


def describe_violation(rule: dict[str, Any]) -> str:
    """Describe a violated rule of the result in a line: values, limits and key in params.yaml."""
    observed = rule["observed"] or dict.fromkeys(rule["first"], "")
    named = [f"{name} {_text(value)}".rstrip() for name, value in observed.items()]
    limits = [f"{name} {_text(value)}" for name, value in rule["limits"].items()]
    return (
        f"{rule['status']} by {rule['broken_by']}: {rule['sentence']} {', '.join(named)} "
        f"({rule['key']} of params.yaml{': ' if limits else ''}{', '.join(limits)})"
    )


def _observed(
    rule: Rule, params: Params, *, outcome: "ExpectationValidationResult", table: pd.DataFrame
) -> dict[str, Any]:
    expected, result = outcome.expectation_config.kwargs, outcome.result
    rows = {row["member"]: row for row in result.get("unexpected_index_list") or []}
    if expected.get("mostly", 1) < 1:
        observed = {"share": result["unexpected_count"] / max(1, result["element_count"])}
    else:
        observed = {name: rows[name][expected["column"]] for name in _first(rows)}
    if rule.reported_column:
        reported = table.set_index("member")[rule.reported_column]
        observed = {name: reported[name] for name in observed}
    limits = dict(params.rules[rule.name].values)
    if limits.keys() == set(SPLITS):
        limits["of each class in all"] = sum(limits.values())
    words = {"value_set": "one of", "min_value": "from", "max_value": "up to"}
    fixed = {
        word: expected[name]
        for name, word in words.items()
        if expected.get(name) not in (None, [""])
    }
    plain = {str(name): _plain(value) for name, value in observed.items() if value != name}
    bounds = {name: _plain(value) for name, value in (limits or fixed).items()}
    return {"key": rule.key, "limits": bounds, "observed": plain}


def _first(names: Iterable[Any]) -> list[Any]:
    return sorted(names, key=str)[:MAX_NAMED]


def _plain(value: Any) -> Any:
    """Convert a value for JSON: NumPy scalars, tuples to lists, infinity to text."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return " ".join(str(value).split())[:100]


def _left_out(faces: pd.DataFrame) -> dict[str, set[str]]:
    rows = faces[faces["quarantine"].fillna("") != ""]
    faults = rows["quarantine"].astype(str).str.split(":").str[0]
    return {str(fault): set(members) for fault, members in rows["member"].groupby(faults)}


def _context(site: Path) -> "EphemeralDataContext":
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    context.variables.data_docs_sites = {"faces": datadocs.site(site)}
    return context
