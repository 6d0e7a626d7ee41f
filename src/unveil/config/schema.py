"""The schema of params.yaml as frozen dataclasses; `params` reports what they refuse.

A key that is not declared here is unknown; types are strict.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from unveil.common.identifiers import http_url
from unveil.common.types import Positive, Share, Split, SplitOrNone
from unveil.config.schedule import Schedule
from unveil.config.strictness import STRICT

QUALITIES = ("brightness", "contrast", "sharpness", "bytes_per_pixel")
"""Image quality measures, independent of the person; labels should not depend on them."""

COLUMNS = (
    *("member", "split", "label", "sha256", "dhash", "phash", "width", "height", "mode"),
    *(*QUALITIES, "twins", "fault"),
)
"""Columns of a manifest, followed by the user's attributes and ``quarantine``."""
TWIN = "twin_in_train"
"""Column of packed validation and test rows: whether train has a near duplicate of the face, as
``learned`` (packed), ``left out`` (in quarantine) or ``none``."""

Faces = Annotated[int, Field(gt=0, le=1_000_000)]
SEEDS = 2**32
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Precision = Literal["float32", "bfloat16", "auto"]
Drifting = Literal["brightness", "sharpness", "face_size", "label", "confidence", "embedding"]
FreeText = str | int
"""Free text; YAML reads a year as a number."""


@dataclass(frozen=True, config=STRICT)
class Data:
    """How the archive is read: limits in pixels and bytes, and fractions of missing splits."""

    image_size: Annotated[int, Field(ge=16, le=512)]
    seed: Seed
    aliases: dict[str, str]
    drop: tuple[str, ...]
    splits: dict[Literal["validation", "test"], Share]
    min_side: Positive
    max_pixels: Positive
    max_bytes: Positive
    max_members: Positive
    split_folders: dict[str, SplitOrNone] = Field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class Rules:
    """The entries of the data rules, by section and name; `expectations` declares the rules."""

    manifest: dict[str, dict[str, Any]]
    faces: dict[str, dict[str, Any]]
    sets: dict[str, dict[str, Any]]


@dataclass(frozen=True, config=STRICT)
class Audit:
    """The label audit: number of cross-validation folds, and of faces on the contact sheet."""

    folds: Annotated[int, Field(ge=2, le=20)]
    shown: Faces


@dataclass(frozen=True, config=STRICT)
class Report:
    """Reports: ``explained`` test faces get saliency maps, a contact sheet shows ``shown`` faces.

    ``thumbnails`` allows pictures of faces in explanations and in MLflow.
    """

    thumbnails: bool
    shown: Faces
    explained: Annotated[int, Field(ge=2, le=1_000_000)]


@dataclass(frozen=True, config=STRICT)
class Decision:
    """When the classifier abstains: of the answers with a class at most ``target_risk`` are wrong.

    The ``confidence_level`` is that of the bound on validation; under ``never_below`` it abstains.
    """

    target_risk: Annotated[float, Field(gt=0, lt=1)]
    never_below: Share = 0.5
    confidence_level: Annotated[float, Field(ge=0.5, lt=1)] = 0.5


@dataclass(frozen=True, config=STRICT)
class Slicing:
    """Minimum sizes of test slices; smaller ones are reported as *insufficient data*."""

    min_images: Positive
    min_class_images: Positive


@dataclass(frozen=True, config=STRICT)
class Augmentation:
    """Random augmentation of training images, each uniform in ``-x..x``.

    ``rotation`` in turns, ``shift`` and ``zoom`` as fractions of the image, ``contrast`` as a
    factor. ``blur`` is the probability of a Gaussian blur of up to one pixel, ``erasing`` the
    probability that a rectangle of 2 to 33 % is filled with noise (random erasing, Zhong et al.,
    2017, arXiv:1708.04896).
    """

    flip: bool
    rotation: Share
    shift: Share
    zoom: Share
    contrast: Share
    blur: Share
    erasing: Share


STILL = Augmentation(flip=False, rotation=0, shift=0, zoom=0, contrast=0, blur=0, erasing=0)
"""No augmentation."""


@dataclass(frozen=True, config=STRICT)
class Training:
    """Training settings shared by all architectures of a recipe.

    ``mixup`` is the parameter of the Beta distribution of mixup, 0 for none. ``precision`` is the
    compute type: ``float32``, ``bfloat16``, or ``auto``, which is bfloat16 if the GPU supports it,
    or if the processor does and no convolution is depthwise. Weights, their moving averages and
    the saved model are always float32.
    """

    seed: Seed
    batch_size: Annotated[int, Field(gt=0, le=65_536)]
    weight_decay: Annotated[float, Field(ge=0, le=100)]
    label_smoothing: Share
    mixup: Annotated[float, Field(ge=0, le=100)]
    class_weights: bool
    precision: Precision
    augmentation: Augmentation


@dataclass(frozen=True, config=STRICT)
class Recipe:
    """One recipe; near duplicates differ in at most ``near_twins`` bits of their hash."""

    near_twins: Annotated[int, Field(ge=0, le=64)]
    training: Training
    schedules: dict[str, Schedule]


@dataclass(frozen=True, config=STRICT)
class Promotion:
    """Requirements for promotion to champion, besides a better macro-F1.

    ``slice_tolerance`` in macro-F1, ``latency`` in milliseconds for one face on one core, ``size``
    in megabytes of the exported model, ``floor`` as a fraction of the way from chance to 1.
    """

    slice_tolerance: Share
    latency: Annotated[float, Field(gt=0, le=60_000)]
    size: Annotated[float, Field(gt=0, le=2000)]
    floor: Share = 0.33


@dataclass(frozen=True, config=STRICT)
class Monitoring:
    """Drift detection on the faces that a server at ``url`` answers for.

    ``thresholds`` in bits, by the ``measure`` label of the gauge; with fewer than ``min_faces``
    nothing is judged; drift starts train-all at most once in ``cooldown_hours``.
    """

    url: Annotated[str, AfterValidator(http_url)]
    min_faces: Positive
    cooldown_hours: Annotated[float, Field(ge=0, le=8784)]
    thresholds: Annotated[dict[Drifting, Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]


@dataclass(frozen=True, config=STRICT)
class Provenance:
    """Provenance stated by the data owner; an empty value is reported as *not stated*."""

    title: FreeText = ""
    creators: FreeText = ""
    purpose: FreeText = ""
    source: FreeText = ""
    collected: FreeText = ""
    consent: FreeText = ""
    labelled_by: FreeText = ""
    licence: FreeText = ""
    contact: FreeText = ""


@dataclass(frozen=True, config=STRICT)
class File:
    """The whole params.yaml, before a recipe is chosen."""

    recipe: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    data: Data
    rules: Rules
    audit: Audit
    report: Report
    decision: Decision
    slices: Slicing
    promotion: Promotion
    monitoring: Monitoring
    sample: dict[Split, Faces]
    architectures: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    recipes: dict[str, Recipe]
    provenance: Provenance = Field(default_factory=Provenance)
