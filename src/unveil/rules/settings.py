"""Types of data rules and their settings in params.yaml: policy and bounds.

The rules are declared in `expectations`; `params` reports invalid settings.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, TypeAdapter, create_model

from unveil.common.types import SPLITS

if TYPE_CHECKING:
    import pandas as pd

Policy = Literal["stop", "warn", "quarantine"]
Section = Literal["manifest", "faces", "sets"]


@dataclass(frozen=True)
class Setting:
    """Setting of one rule in params.yaml; ``setting["max_imbalance"]`` is one of its bounds."""

    policy: Policy
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


ExpectationBuilder = Callable[[Setting, tuple[str, ...]], dict[str, Any]]
"""(setting, classes) -> keywords of a Great Expectations expectation; ``kind`` is its class."""

FaultFinder = Callable[["pd.DataFrame", Setting], "pd.Series[str]"]
"""(manifest rows, setting) -> description of the fault of each faulty row, by index."""


@dataclass(frozen=True)
class Rule:
    """A data rule; its ``sentence`` is true of valid data.

    ``table`` is the name of a table of `dataset_statistics`. ``bounds`` are the types of its
    parameters, by name. A rule of the section ``faces`` has a ``fault``, the code that marks a
    face which violates it, and ``find``, unless `defects` finds such faces. ``reported_column``
    is the column reported for violations, if it is not the one that is checked.
    """

    section: Section
    name: str
    sentence: str
    table: str
    expect: ExpectationBuilder
    bounds: Mapping[str, Any] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ("stop", "warn")
    fault: str = ""
    find: FaultFinder | None = None
    reported_column: str = ""

    @property
    def key(self) -> str:
        """Return the key of its entry in params.yaml."""
        return f"rules.{self.section}.{self.name}"

    def entry_adapter(self) -> TypeAdapter[Any]:
        """Return the type adapter that validates its entry in params.yaml."""
        fields: dict[str, Any] = {name: (kind, ...) for name, kind in self.bounds.items()}
        strict = ConfigDict(strict=True, extra="forbid", frozen=True)
        policy: Any = (Literal[self.policies], ...)
        return TypeAdapter(create_model(self.name, __config__=strict, policy=policy, **fields))


def column_values(kind: str, column: str, **bounds: Any) -> dict[str, Any]:
    """Return the keywords of ``ExpectColumnValues{kind}`` for a column."""
    return {"kind": f"ExpectColumnValues{kind}", "column": column, **bounds}


def constant_expectation(kind: str, column: str, **bounds: Any) -> ExpectationBuilder:
    """Return an expectation that does not depend on params.yaml."""
    return lambda setting, classes: column_values(kind, column, **bounds)


def at_most(column: str, bound: str) -> ExpectationBuilder:
    """Expect values of the column up to a bound of the setting."""
    return lambda setting, classes: column_values("ToBeBetween", column, max_value=setting[bound])


def at_least(column: str, bound: str) -> ExpectationBuilder:
    """Expect values of the column from a bound of the setting on."""
    return lambda setting, classes: column_values("ToBeBetween", column, min_value=setting[bound])


def query_faces(query: str, description: str) -> FaultFinder:
    """Find the rows that match a pandas query.

    ``@x`` in the query is a bound of the setting, ``{x}`` in the description a column.
    """

    def find(faces: "pd.DataFrame", setting: Setting) -> "pd.Series[str]":
        import pandas as pd

        rows = faces.query(query, local_dict=dict(setting.values))
        faults = [description.format(**row) for row in rows.to_dict("records")]
        return pd.Series(faults, index=rows.index, dtype=object)

    return find


def manifest_rule(name: str, sentence: str, table: str, expect: ExpectationBuilder) -> Rule:
    """Create a rule about the rows of the manifest, whatever the faces are."""
    return Rule("manifest", name, sentence, table, expect)


def face_rule(
    name: str,
    sentence: str,
    fault: str,
    find: FaultFinder | None = None,
    *,
    policies: tuple[Policy, ...] = ("stop", "warn", "quarantine"),
    **bounds: Any,
) -> Rule:
    """Create a rule about each face: no face in use is marked with its fault."""
    unmarked = constant_expectation("ToNotMatchRegex", "fault", regex=f"(?:^|; ){fault}:")
    return Rule("faces", name, sentence, "faces", unmarked, bounds, policies, fault, find)


def dataset_rule(
    name: str, sentence: str, table: str, expect: ExpectationBuilder, **bounds: Any
) -> Rule:
    """Create a rule about splits, classes or groups: about a column of `dataset_statistics`."""
    # Report the number of images, not how many are above the minimum.
    reported = "images" if bounds.keys() == set(SPLITS) else ""
    return Rule("sets", name, sentence, table, expect, bounds, reported_column=reported)
