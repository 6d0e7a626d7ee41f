"""manifest -> verdict: the rules that data must keep before anything is trained on it.

Takes the manifest, makes ``data/02_manifest/validation.json`` and Great Expectations' Data Docs in
``data/02_manifest/data_docs``. Command: ``unveil validate``. A rule is one entry of ``RULES``: a
name, a sentence, the table it looks at and the expectation it sets there.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from unveil import datadocs
from unveil.census import census
from unveil.files import existing, replacing, sha256, write_json
from unveil.params import Params
from unveil.paths import DATA_DOCS, VERDICT
from unveil.schema import SPLITS

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.expectations import Expectation

NAMED_FILES = 10
"""How many offending files a failed rule names."""


@dataclass(frozen=True)
class Rule:
    """A rule: ``table`` is ``faces`` (rows in use), ``archive`` (all rows) or ``balance``."""

    name: str
    sentence: str
    table: str
    expect: Callable[[Params], dict[str, Any]]


def _values(kind: str, column: str, **bounds: Any) -> dict[str, Any]:
    return {"kind": f"ExpectColumnValues{kind}", "column": column, **bounds}


def _without(fault: str) -> Callable[[Params], dict[str, Any]]:
    return lambda params: _values("ToNotMatchRegex", "fault", regex=f"^{fault}")


RULES = (
    Rule(
        "complete",
        "Every face has its name, split, label, digest, sides, brightness and faults, if any.",
        "archive",
        lambda params: _values("ToBeInSet", "absent", value_set=[""]),
    ),
    Rule(
        "member_named_once",
        "No two faces have the same name.",
        "archive",
        lambda params: _values("ToBeUnique", "member"),
    ),
    Rule(
        "known_split",
        "Every face is in train, validation or test.",
        "faces",
        lambda params: _values("ToBeInSet", "split", value_set=list(SPLITS)),
    ),
    Rule(
        "known_label",
        "Every face has one of the classes.",
        "faces",
        lambda params: _values("ToBeInSet", "label", value_set=list(params.classes)),
    ),
    Rule("readable", "No image is unreadable.", "faces", _without("unreadable")),
    Rule(
        "digested",
        "Every face has a digest of its pixels.",
        "faces",
        lambda params: _values("ToMatchRegex", "sha256", regex="^[0-9a-f]{64}$"),
    ),
    Rule(
        "side_width",
        "No face is narrower than the smallest side.",
        "faces",
        lambda params: _values("ToBeBetween", "width", min_value=params.data.min_side),
    ),
    Rule(
        "side_height",
        "No face is lower than the smallest side.",
        "faces",
        lambda params: _values("ToBeBetween", "height", min_value=params.data.min_side),
    ),
    Rule(
        "brightness_range",
        "Brightness is a gray value.",
        "faces",
        lambda params: _values("ToBeBetween", "brightness", min_value=0, max_value=255),
    ),
    Rule(
        "no_twin_across_splits",
        "No face stands in two splits.",
        "faces",
        _without("twin_across_splits"),
    ),
    Rule(
        "no_twin_with_two_labels",
        "No face has two labels.",
        "faces",
        _without("twin_with_two_labels"),
    ),
    Rule(
        "every_class_in_every_split",
        "Every class has at least its minimum of images in every split.",
        "balance",
        lambda params: _values("ToBeBetween", "spare_images", min_value=0),
    ),
    Rule(
        "class_balance",
        "In no split is the largest class too many times the smallest.",
        "balance",
        lambda params: _values(
            "ToBeBetween", "times_smaller", max_value=params.validation.max_imbalance
        ),
    ),
    Rule(
        "same_balance_as_train",
        "No class has a very different share in another split than in train.",
        "balance",
        lambda params: _values(
            "ToBeBetween", "share_shift", max_value=params.validation.max_share_shift
        ),
    ),
    Rule(
        "few_quarantined",
        "Only a small share of the archive is left out.",
        "archive",
        lambda params: _values(
            "ToBeInSet",
            "quarantine",
            value_set=[""],
            mostly=1 - params.validation.max_quarantined,
        ),
    ),
)


def validate(manifest: Path, params: Params) -> dict[str, Any]:
    """Judge a manifest by every rule; writes the verdict and the Data Docs, and gives the verdict.

    The verdict has ``passed``, the digest of the ``manifest`` it is about and, for each rule, its
    sentence, whether it passed, how many rows broke it, and the first of them by name.
    """
    faces = pd.read_parquet(existing(manifest, made_by="unveil manifest"))
    with replacing(DATA_DOCS) as site:
        context = _context(site)
        rules = [
            result
            for name, table in census(faces, params).items()
            for result in _judge(context, name, table=table, params=params)
        ]
        datadocs.build(context, site)
    verdict = {
        "passed": all(rule["passed"] for rule in rules),
        "manifest": sha256(manifest),
        "rules": rules,
    }
    write_json(VERDICT, verdict)
    return verdict


def _judge(
    context: "EphemeralDataContext", name: str, *, table: pd.DataFrame, params: Params
) -> list[dict[str, Any]]:
    import great_expectations as gx

    rules = [rule for rule in RULES if rule.table == name]
    suite = gx.ExpectationSuite(name=name)
    for rule in rules:
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
    return [_verdict(outcome) for outcome in run.results]


def _expectation(rule: Rule, params: Params) -> "Expectation":
    from great_expectations import expectations

    settings = rule.expect(params)
    kind = getattr(expectations, settings.pop("kind"))
    expectation: Expectation = kind(
        **settings,
        description=datadocs.description(rule.sentence, "stop", {}),
        meta={"rule": rule.name, "sentence": rule.sentence},
    )
    return expectation


def _verdict(outcome: Any) -> dict[str, Any]:
    meta = outcome.expectation_config.meta
    broken = outcome.result.get("unexpected_index_list") or []
    return {
        "rule": meta["rule"],
        "sentence": meta["sentence"],
        "passed": bool(outcome.success),
        "broken_by": int(outcome.result.get("unexpected_count", 0)),
        "first": sorted({str(row["member"]) for row in broken})[:NAMED_FILES],
    }


def _context(site: Path) -> "EphemeralDataContext":
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    context.variables.data_docs_sites = {"faces": datadocs.site(site)}
    return context
