"""params.yaml -> frozen dataclasses, checked at load.

Takes ``params.yaml``, gives ``Params``. A missing, unknown or ill-typed key, an unknown recipe or
an architecture without a schedule is a ``UserError`` of one line that names the key and the value.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from unveil import names, strict_yaml
from unveil.architectures import Architecture
from unveil.errors import UserError, unknown
from unveil.expectations import RULES
from unveil.files import replacing
from unveil.paths import PARAMS
from unveil.rules import Rule, Setting
from unveil.schema import (
    Audit,
    Data,
    Decision,
    File,
    Monitoring,
    Promotion,
    Provenance,
    Recipe,
    Report,
    Rules,
    Schedule,
    Slicing,
    Split,
    Training,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Params:
    """The checked parameters, with the recipe chosen and its networks resolved."""

    recipe: str
    classes: tuple[str, ...]
    data: Data
    rules: dict[str, Setting]
    audit: Audit
    report: Report
    decision: Decision
    slices: Slicing
    promotion: Promotion
    monitoring: Monitoring
    sample: dict[Split, int]
    architectures: dict[str, Architecture]
    schedules: dict[str, Schedule]
    training: Training
    near_twins: int
    provenance: Provenance

    def named(self, key: str) -> str:
        """Give ``key`` back when it is an architecture's, else say which there are."""
        if key not in self.architectures:
            raise unknown("architecture", key, self.architectures)
        return key


def load(path: Path = PARAMS) -> Params:
    """Read and check the parameters; ``UserError`` names the key, the value and the choices."""
    file = _file(path)
    if file.recipe not in file.recipes:
        raise unknown(f"recipe in {path}", file.recipe, file.recipes)
    if sum(file.data.splits.values()) >= 1:
        raise UserError(f"{path}: data.splits: {file.data.splits} leave nothing to train on")
    recipe = file.recipes[file.recipe]
    return Params(
        recipe=file.recipe,
        classes=file.classes,
        data=file.data,
        rules=_rules(file.rules, path),
        audit=file.audit,
        report=file.report,
        decision=file.decision,
        slices=file.slices,
        promotion=file.promotion,
        monitoring=file.monitoring,
        sample=file.sample,
        architectures={
            key: _architecture(key, entry, recipe=recipe, where=f"{path}: architectures.{key}")
            for key, entry in file.architectures.items()
        },
        schedules=recipe.schedules,
        training=recipe.training,
        near_twins=recipe.near_twins,
        provenance=file.provenance,
    )


def require_recipe(recipe: str, path: Path = PARAMS) -> None:
    """Refuse a recipe that the file does not have."""
    choices = _file(path).recipes
    if recipe not in choices:
        raise unknown("recipe", recipe, choices)


def require_choice(
    recipe: str | None, architectures: Iterable[str] | None, path: Path = PARAMS
) -> None:
    """Raise ``UserError`` for a recipe or an architecture that ``path`` does not have."""
    loaded = load(path)
    for key in architectures or ():
        loaded.named(key)
    if recipe is not None:
        require_recipe(recipe, path)


def choose_recipe(recipe: str, path: Path = PARAMS) -> None:
    """Turn the dial: rewrite the one line ``recipe: ...`` of the file, comments kept."""
    text = _text(path)
    require_recipe(recipe, path)
    turned, lines = re.subn(r"(?m)^recipe:[^#\n]*?(?= *(#|$))", f"recipe: {recipe}", text, count=1)
    if not lines:
        raise UserError(f"{path} has no line `recipe: ...`")
    if turned != text:
        with replacing(path) as temporary:
            temporary.write_text(turned, encoding="utf-8")


def _text(path: Path) -> str:
    if not path.exists():
        raise UserError(f"no {path.name} in {path.parent.absolute()}; run in the project's folder")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        said = f"byte {error.start} is not UTF-8; `git checkout {path}` brings the last version"
        raise UserError(f"{path}: {said}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {str(error.strerror).lower()}") from None


def _file(path: Path) -> File:
    content = strict_yaml.parsed(_text(path), str(path))
    if not isinstance(content, dict):
        raise UserError(f"{path}: no keys; `git checkout {path}` brings the last version")
    file = _checked(TypeAdapter(File), content, str(path))
    names.require_classes(file.classes, f"{path}: classes")
    names.require_keys(file.architectures, f"{path}: architectures")
    names.require_keys(file.recipes, f"{path}: recipes")
    for name, recipe in file.recipes.items():
        names.require_keys(recipe.schedules, f"{path}: recipes.{name}.schedules")
    return file


def _architecture(key: str, entry: dict[str, Any], *, recipe: Recipe, where: str) -> Architecture:
    if key not in recipe.schedules:
        raise UserError(f"{where}: the recipe has no schedule for it; add schedules.{key}")
    merged = {**entry, **recipe.schedules[key].network}
    adapter: TypeAdapter[Architecture] = TypeAdapter(Architecture)
    return _checked(adapter, merged, where)


def _rules(content: Rules, path: Path) -> dict[str, Setting]:
    for section in ("manifest", "faces", "sets"):
        names = [rule.name for rule in RULES if rule.section == section]
        for name in getattr(content, section):
            if name not in names:
                raise unknown(f"rule in {path}: rules.{section}", name, names)
    return {
        rule.name: _setting(
            rule, getattr(content, rule.section), f"{path}: rules.{rule.section}.{rule.name}"
        )
        for rule in RULES
    }


def _setting(rule: Rule, entries: dict[str, dict[str, Any]], where: str) -> Setting:
    if rule.name not in entries:
        raise UserError(f"{where}: missing key")
    entry = entries[rule.name]
    for key in entry:
        if key not in (keys := ("policy", *rule.bounds)):
            raise unknown(f"key in {where}", key, keys)
    values = _checked(rule.entry(), entry, where).model_dump()
    return Setting(policy=values.pop("policy"), values=values)


def _checked(adapter: TypeAdapter[T], content: Any, where: str) -> T:
    try:
        # JSON mode, because a strict tuple has no other spelling in YAML than a list.
        return adapter.validate_json(json.dumps(content))
    except ValidationError as error:
        # A misspelt key is unknown and, where it was due, missing: the first says more.
        first = min(error.errors(), key=lambda one: one["type"] not in _UNKNOWN)
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {key}: {_said(first)}") from None


_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


def _said(error: Any) -> str:
    value = error["input"]
    if error["type"] == "missing":
        return "missing key"
    if error["type"] in _UNKNOWN:
        return "unknown key"
    found = repr(value)
    said = f"{error['msg'].lower()}, found {found if len(found) <= 120 else f'{found[:117]}...'}"
    if isinstance(value, str) and re.fullmatch(r"-?[\d.]+[eE][+-]?\d+", value):
        return f"{said}: write it with a point and a sign, 1.0e-3"
    return said
