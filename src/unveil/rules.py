"""What a rule about data is, and what params.yaml says of it: its policy and its bounds.

Takes nothing; the list of rules is in `expectations`, what they refuse `params` says.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, TypeAdapter, create_model

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
    unless `manifest` finds such faces itself.
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

    def entry(self) -> TypeAdapter[Any]:
        """Give what checks this rule's entry in params.yaml."""
        fields: dict[str, Any] = {name: (kind, ...) for name, kind in self.bounds.items()}
        strict = ConfigDict(strict=True, extra="forbid", frozen=True)
        policy: Any = (Literal[self.policies], ...)
        return TypeAdapter(create_model(self.name, __config__=strict, policy=policy, **fields))
