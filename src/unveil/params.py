"""params.yaml -> frozen dataclasses, checked at load.

Takes ``params.yaml``, gives ``Params``. A missing, unknown or ill-typed key, an unknown recipe or
an architecture without a schedule is a ``UserError`` of one line that names the key and the value.
"""

import json
import re
from dataclasses import dataclass as plain_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from unveil.architectures import Architecture
from unveil.errors import UserError, unknown
from unveil.files import replacing
from unveil.paths import PARAMS

SPLITS = ("train", "validation", "test")

T = TypeVar("T")
_STRICT = ConfigDict(strict=True, extra="forbid")
_strict = dataclass(frozen=True, config=_STRICT)

Split = Literal["train", "validation", "test"]
Quarantine = Literal["unreadable", "twin_across_splits", "twin_with_two_labels"]
Positive = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Share = Annotated[float, Field(ge=0, le=1)]


@_strict
class Data:
    """How the archive is read: sizes in pixels and bytes, shares of missing splits."""

    image_size: Annotated[int, Field(ge=16, le=512)]
    seed: Seed
    aliases: dict[str, str]
    drop: tuple[str, ...]
    splits: dict[Literal["validation", "test"], Share]
    quarantine: tuple[Quarantine, ...]
    min_side: Positive
    max_pixels: Positive
    max_bytes: Positive
    max_members: Positive


@_strict
class Validation:
    """Bounds of the data gate, as counts and shares (0..1)."""

    min_images_per_class: dict[Split, Positive]
    max_imbalance: Annotated[float, Field(ge=1)]
    max_share_shift: Share
    max_quarantined: Share


@_strict
class Augmentation:
    """Random changes of a training image, each uniform in ``-x..x``.

    ``rotation`` in turns, ``shift`` and ``zoom`` in shares of the image, ``contrast`` as a factor.
    """

    flip: bool
    rotation: Share
    shift: Share
    zoom: Share
    contrast: Share


@_strict
class Training:
    """What all architectures of a recipe have in common while they learn."""

    seed: Seed
    batch_size: Positive
    weight_decay: Annotated[float, Field(ge=0)]
    label_smoothing: Share
    class_weights: bool
    augmentation: Augmentation


@_strict
class Stage:
    """One fit: from which layer on the network learns (``all``, ``head`` or a layer's name).

    ``patience`` is the number of epochs without a better validation macro-F1 before it stops. The
    rate follows a ``cosine`` down, or on a ``plateau`` is halved after half that patience.
    """

    trainable_from: str
    epochs: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    patience: Positive
    decay: Literal["cosine", "plateau"] = "cosine"


@_strict
class Schedule:
    """How one architecture is trained in one recipe.

    ``network`` replaces keywords of the architecture's entry; ``train_images`` cuts the training
    split to a stratified subset, ``null`` takes all.
    """

    stages: Annotated[tuple[Stage, ...], Field(min_length=2, max_length=2)]
    network: dict[str, str | int | float | bool] = Field(default_factory=dict)
    train_images: Positive | None = None


@_strict
class Recipe:
    """One position of the dial."""

    training: Training
    schedules: dict[str, Schedule]


@_strict
class _File:
    recipe: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    data: Data
    validation: Validation
    sample: dict[Split, Positive]
    architectures: dict[str, dict[str, Any]]
    recipes: dict[str, Recipe]


@plain_dataclass(frozen=True)
class Params:
    """The checked parameters, with the recipe chosen and its networks resolved."""

    recipe: str
    classes: tuple[str, ...]
    data: Data
    validation: Validation
    sample: dict[Split, int]
    architectures: dict[str, Architecture]
    schedules: dict[str, Schedule]
    training: Training

    def named(self, key: str) -> str:
        """Give ``key`` back when it is an architecture's, else say which there are."""
        if key not in self.architectures:
            raise unknown("architecture", key, self.architectures)
        return key


def load(path: Path = PARAMS) -> Params:
    """Read and check the parameters; ``UserError`` names the key, the value and the choices."""
    content = _yaml(_text(path), path)
    file = _checked(TypeAdapter(_File), content, str(path))
    if file.recipe not in file.recipes:
        raise unknown(f"recipe in {path}", file.recipe, file.recipes)
    if len(set(file.classes)) < len(file.classes):
        raise UserError(f"{path}: classes: a name stands twice in {', '.join(file.classes)}")
    if sum(file.data.splits.values()) >= 1:
        raise UserError(f"{path}: data.splits: {file.data.splits} leave nothing to train on")
    recipe = file.recipes[file.recipe]
    return Params(
        recipe=file.recipe,
        classes=file.classes,
        data=file.data,
        validation=file.validation,
        sample=file.sample,
        architectures={
            key: _architecture(key, entry, recipe=recipe, where=f"{path}: architectures.{key}")
            for key, entry in file.architectures.items()
        },
        schedules=recipe.schedules,
        training=recipe.training,
    )


def require_recipe(recipe: str, path: Path = PARAMS) -> None:
    """Refuse a recipe that the file does not have."""
    choices = _yaml(_text(path), path).get("recipes", {})
    if recipe not in choices:
        raise unknown("recipe", recipe, choices)


def choose_recipe(recipe: str, path: Path = PARAMS) -> None:
    """Turn the dial: rewrite the one line ``recipe: ...`` of the file, comments kept."""
    text = _text(path)
    require_recipe(recipe, path)
    turned, lines = re.subn(r"(?m)^recipe:[^#\n]*?(?= *(#|$))", f"recipe: {recipe}", text, count=1)
    if not lines:
        raise UserError(f"{path} has no line `recipe: ...`")
    if turned != text:
        with replacing(path) as temporary:
            temporary.write_text(turned)


def _text(path: Path) -> str:
    if not path.exists():
        raise UserError(f"no {path.name} in {path.parent.absolute()}; run in the project's folder")
    return path.read_text()


def _yaml(text: str, path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
        # Through JSON, so that a date or a set, which YAML knows and we do not, is refused here.
        checked = json.loads(json.dumps(content, allow_nan=False))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None
    if not isinstance(checked, dict):
        raise UserError(f"{path}: expected keys and values, found {type(content).__name__}")
    return checked


def _architecture(key: str, entry: dict[str, Any], *, recipe: Recipe, where: str) -> Architecture:
    if key not in recipe.schedules:
        raise UserError(f"{where}: the recipe has no schedule for it; add schedules.{key}")
    merged = {**entry, **recipe.schedules[key].network}
    adapter: TypeAdapter[Architecture] = TypeAdapter(Architecture)
    return _checked(adapter, merged, where)


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
    said = f"{error['msg'].lower()}, found {value!r}"
    if isinstance(value, str) and re.fullmatch(r"-?[\d.]+[eE][+-]?\d+", value):
        return f"{said}: write it with a point and a sign, 1.0e-3"
    return said
