"""What a rule about data is, and what params.yaml says of it: its policy and its bounds.

Takes nothing; the list of rules is in `expectations`, what they refuse `params` says.
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
    """What params.yaml says of one rule: ``setting["max_imbalance"]`` is one of its bounds."""

    policy: Policy
    values: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


Expect = Callable[[Setting, tuple[str, ...]], dict[str, Any]]
"""From the setting and the classes: the ``kind`` of a Great Expectations rule and its keywords."""

Find = Callable[["pd.DataFrame", Setting], "pd.Series[str]"]
"""From rows of the manifest and the setting: of the faulty rows alone, by index, what is wrong."""


@dataclass(frozen=True)
class Rule:
    """A rule, as a sentence that is true of good data.

    ``table`` is one of `census`'s. ``bounds`` are the types of its parameters, by name. A rule of
    the section ``faces`` has a ``fault``, the word that marks a face which breaks it, and ``find``,
    unless `manifest` finds such faces itself. ``shown`` is the column a person is told of what
    breaks it, where that is another than the one that is judged.
    """

    section: Section
    name: str
    sentence: str
    table: str
    expect: Expect
    bounds: Mapping[str, Any] = field(default_factory=dict)
    policies: tuple[Policy, ...] = ("stop", "warn")
    fault: str = ""
    find: Find | None = None
    shown: str = ""

    @property
    def key(self) -> str:
        """Name its entry in params.yaml."""
        return f"rules.{self.section}.{self.name}"

    def entry(self) -> TypeAdapter[Any]:
        """Give what checks this rule's entry in params.yaml."""
        fields: dict[str, Any] = {name: (kind, ...) for name, kind in self.bounds.items()}
        strict = ConfigDict(strict=True, extra="forbid", frozen=True)
        policy: Any = (Literal[self.policies], ...)
        return TypeAdapter(create_model(self.name, __config__=strict, policy=policy, **fields))


def values(kind: str, column: str, **bounds: Any) -> dict[str, Any]:
    """Name what Great Expectations expects of a column: ``kind`` is its word without the prefix."""
    return {"kind": f"ExpectColumnValues{kind}", "column": column, **bounds}


def fixed(kind: str, column: str, **bounds: Any) -> Expect:
    """Expect the same whatever params.yaml says."""
    return lambda setting, classes: values(kind, column, **bounds)


def at_most(column: str, bound: str) -> Expect:
    """Expect values of the column up to the setting's bound."""
    return lambda setting, classes: values("ToBeBetween", column, max_value=setting[bound])


def at_least(column: str, bound: str) -> Expect:
    """Expect values of the column from the setting's bound on."""
    return lambda setting, classes: values("ToBeBetween", column, min_value=setting[bound])


def where(broken: str, said: str) -> Find:
    """Find the rows for which a query holds; ``@x`` in it is the setting's, ``{x}`` a column."""

    def find(faces: "pd.DataFrame", setting: Setting) -> "pd.Series[str]":
        import pandas as pd

        rows = faces.query(broken, local_dict=dict(setting.values))
        told = [said.format(**row) for row in rows.to_dict("records")]
        return pd.Series(told, index=rows.index, dtype=object)

    return find


def about_rows(name: str, sentence: str, table: str, expect: Expect) -> Rule:
    """Make a rule about the manifest's rows, whatever the faces are."""
    return Rule("manifest", name, sentence, table, expect)


def about_each_face(
    name: str,
    sentence: str,
    fault: str,
    find: Find | None = None,
    *,
    policies: tuple[Policy, ...] = ("stop", "warn", "quarantine"),
    **bounds: Any,
) -> Rule:
    """Make a rule about each face by itself: none in use is marked with its fault."""
    unmarked = fixed("ToNotMatchRegex", "fault", regex=f"(?:^|; ){fault}:")
    return Rule("faces", name, sentence, "faces", unmarked, bounds, policies, fault, find)


def about_sets(name: str, sentence: str, table: str, expect: Expect, **bounds: Any) -> Rule:
    """Make a rule about splits, classes or groups: about one column of a table of `census`."""
    # Of the images above a minimum nobody thinks; how many there are is what is shown.
    shown = "images" if bounds.keys() == set(SPLITS) else ""
    return Rule("sets", name, sentence, table, expect, bounds, shown=shown)
