"""manifest -> verdict: the rules that data must keep before anything is trained on it.

Takes the manifest, makes ``data/02_manifest/validation.json`` and Great Expectations' Data Docs in
``data/02_manifest/data_docs``. Command: ``unveil validate``. The rules are in `expectations`, the
tables they look at in `census`; this module and `datadocs` alone know Great Expectations.
"""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from unveil.common.files import read_parquet, replacing, sha256, write_json
from unveil.common.paths import DATA_DOCS, VERDICT
from unveil.common.types import SPLITS
from unveil.config.params import Params
from unveil.quality import datadocs
from unveil.quality.census import census
from unveil.rules.expectations import RULES
from unveil.rules.settings import Rule

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations import Expectation

NAMED_FILES = 10
"""How many offending files a broken rule names."""


def validate(manifest: Path, params: Params) -> dict[str, Any]:
    """Judge a manifest by every rule; writes the verdict and the Data Docs, and gives the verdict.

    The verdict has the digest of the ``manifest`` it is about and, for each rule, its sentence, its
    policy and its ``status``: kept, broken, warned, quarantined or insufficient data. It says how
    many rows broke a rule, were left out for it (``left_out``) or are too few to be judged
    (``insufficient``), the first of them by name, what was ``observed`` of these, the ``limits``
    and the ``key`` of params.yaml. ``passed`` is false where one is broken.
    ``measured`` has the tables of splits, classes and groups that the rules look at.
    """
    faces = read_parquet(manifest, made_by="unveil manifest")
    outcomes: dict[str, ExpectationValidationResult] = {}
    with replacing(DATA_DOCS) as site:
        context = _context(site)
        tables = census(faces, params)
        for name, table in tqdm(tables.items(), desc="judge", unit=" tables", delay=2):
            outcomes |= _judge(context, name, table=table, params=params)
        datadocs.build(context, site)
    left_out = _left_out(faces)
    rules = [
        _verdict(rule, params, outcome=outcomes[rule.name], left_out=left_out)
        | _measured(rule, params, outcome=outcomes[rule.name], table=tables[rule.table])
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
    write_json(VERDICT, verdict)
    return verdict


def _judge(
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


def _verdict(
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
        status = "insufficient data"
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


def told(rule: dict[str, Any]) -> str:
    """Say in a line what broke a rule of the verdict: values, limits and the key that sets them."""
    observed = rule["observed"] or dict.fromkeys(rule["first"], "")
    named = [f"{name} {_text(value)}".rstrip() for name, value in observed.items()]
    limits = [f"{name} {_text(value)}" for name, value in rule["limits"].items()]
    return (
        f"{rule['status']} by {rule['broken_by']}: {rule['sentence']} {', '.join(named)} "
        f"({rule['key']} of params.yaml{': ' if limits else ''}{', '.join(limits)})"
    )


def _measured(
    rule: Rule, params: Params, *, outcome: "ExpectationValidationResult", table: pd.DataFrame
) -> dict[str, Any]:
    asked, result = outcome.expectation_config.kwargs, outcome.result
    rows = {row["member"]: row for row in result.get("unexpected_index_list") or []}
    if asked.get("mostly", 1) < 1:
        observed = {"share": result["unexpected_count"] / max(1, result["element_count"])}
    else:
        observed = {name: rows[name][asked["column"]] for name in _first(rows)}
    if rule.shown:
        shown = table.set_index("member")[rule.shown]
        observed = {name: shown[name] for name in observed}
    limits = dict(params.rules[rule.name].values)
    if limits.keys() == set(SPLITS):
        limits["of each class in all"] = sum(limits.values())
    known = {"value_set": "one of", "min_value": "from", "max_value": "up to"}
    asked_of = {
        said: asked[name] for name, said in known.items() if asked.get(name) not in (None, [""])
    }
    plain = {str(name): _plain(value) for name, value in observed.items() if value != name}
    bounds = {name: _plain(value) for name, value in (limits or asked_of).items()}
    return {"key": rule.key, "limits": bounds, "observed": plain}


def _first(names: Iterable[Any]) -> list[Any]:
    return sorted(names, key=str)[:NAMED_FILES]


def _plain(value: Any) -> Any:
    """Give a value as JSON has it; a tuple as a list, infinity as text."""
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
