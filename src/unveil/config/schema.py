"""What params.yaml may hold, as frozen dataclasses; what they refuse, `params` says.

Takes nothing; a key that is not here is unknown, a type that is not this one ill-typed.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from unveil.common.identifiers import address
from unveil.common.types import Positive, Share, Split, SplitOrNone

QUALITIES = ("brightness", "contrast", "sharpness", "bytes_per_pixel")
"""What a picture is like, whoever is on it: a class should not be told from these."""

COLUMNS = (
    *("member", "split", "label", "sha256", "dhash", "phash", "width", "height", "mode"),
    *(*QUALITIES, "twins", "fault"),
)
"""Of a manifest; ``quarantine`` is the last, and what stands before it a user's attributes."""
TWIN = "twin_in_train"
"""Of packed rows outside train: ``learned`` or ``left out`` for a near twin there, or ``none``."""

_strict = dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))

Epochs = Annotated[int, Field(gt=0, le=10_000)]
Faces = Annotated[int, Field(gt=0, le=1_000_000)]
SEEDS = 2**32
Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Precision = Literal["float32", "bfloat16", "auto"]
Drifting = Literal["brightness", "sharpness", "face_size", "label", "confidence", "embedding"]
Told = str | int
"""Text of a person; a year is a number to YAML."""


@_strict
class Data:
    """How the archive is read: sizes in pixels and bytes, shares of missing splits."""

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


@_strict
class Rules:
    """The entries of the rules about data, by section and name; `expectations` says which."""

    manifest: dict[str, dict[str, Any]]
    faces: dict[str, dict[str, Any]]
    sets: dict[str, dict[str, Any]]


@_strict
class Audit:
    """How labels are doubted: in how many folds, and how many faces a contact sheet shows."""

    folds: Annotated[int, Field(ge=2, le=20)]
    shown: Faces


@_strict
class Report:
    """What people are shown: ``explained`` test faces have maps, a contact sheet has ``shown``.

    ``thumbnails`` says that pictures of the faces may be kept in explanations, and in MLflow.
    """

    thumbnails: bool
    shown: Faces
    explained: Annotated[int, Field(ge=2, le=1_000_000)]


@_strict
class Decision:
    """When an answer goes out: of those that do, at most ``target_risk`` may be wrong.

    Under a probability of ``never_below`` none does, whatever the target allows.
    """

    target_risk: Annotated[float, Field(gt=0, lt=1)]
    never_below: Share = 0.5


@_strict
class Slicing:
    """Which slices of the test set are measured: smaller ones are *insufficient data*."""

    min_images: Positive
    min_class_images: Positive


@_strict
class Augmentation:
    """Random changes of a training image, each uniform in ``-x..x``.

    ``rotation`` in turns, ``shift`` and ``zoom`` in shares of the image, ``contrast`` as a factor;
    ``blur`` is the chance that a face loses what is sharp, by a Gaussian of up to one pixel, and
    ``erasing`` the chance that a rectangle of 2 to 33 % is filled with noise (Zhong et al.,
    2017, arXiv:1708.04896).
    """

    flip: bool
    rotation: Share
    shift: Share
    zoom: Share
    contrast: Share
    blur: Share
    erasing: Share


STILL = Augmentation(  # type: ignore[call-arg]  # mypy does not know pydantic's dataclasses here
    flip=False, rotation=0, shift=0, zoom=0, contrast=0, blur=0, erasing=0
)
"""No change at all."""


@_strict
class Training:
    """What all architectures of a recipe have in common while they learn.

    ``mixup`` is the parameter of the Beta distribution by which faces are mixed, 0 for none.
    ``precision`` is in what a training multiplies: ``float32``, ``bfloat16``, or ``auto``, bfloat16
    where the GPU has it, or the processor and no convolution is depthwise; weights, their averages
    and the saved network are float32 in any case.
    """

    seed: Seed
    batch_size: Annotated[int, Field(gt=0, le=65_536)]
    weight_decay: Annotated[float, Field(ge=0, le=100)]
    label_smoothing: Share
    mixup: Annotated[float, Field(ge=0, le=100)]
    class_weights: bool
    precision: Precision
    augmentation: Augmentation


@_strict
class Stage:
    """One fit: from which layer on the network learns (``all``, ``head`` or a layer's name).

    ``patience`` is the number of epochs without a better validation macro-F1 before it stops. The
    rate follows a ``cosine`` down, or on a ``plateau`` is halved after half that patience. ``ema``
    is the share that a moving average of the weights keeps at each step, 0 for none; the average
    is what validation measures and what is saved.
    """

    trainable_from: str
    epochs: Epochs
    learning_rate: Annotated[float, Field(gt=0, le=10)]
    patience: Epochs
    decay: Literal["cosine", "plateau"] = "cosine"
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0


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
    """One position of the dial; near twins may differ in ``near_twins`` bits of their hash."""

    near_twins: Annotated[int, Field(ge=0, le=64)]
    training: Training
    schedules: dict[str, Schedule]


@_strict
class Promotion:
    """What a candidate has to keep to become champion, besides its lead.

    ``slice_tolerance`` in macro-F1, ``latency`` in milliseconds for one face on one core, ``size``
    in megabytes of the exported network, ``floor`` as a share of the way from chance to 1.
    """

    slice_tolerance: Share
    latency: Annotated[float, Field(gt=0, le=60_000)]
    size: Annotated[float, Field(gt=0, le=2000)]
    floor: Share = 0.33


@_strict
class Monitoring:
    """When the faces of a server count as drifted.

    ``thresholds`` in bits, by the ``measure`` of its gauge; under ``min_faces`` nothing is judged;
    in ``cooldown_hours`` train-all is started once for drift.
    """

    url: Annotated[str, AfterValidator(address)]
    min_faces: Positive
    cooldown_hours: Annotated[float, Field(ge=0, le=8784)]
    thresholds: Annotated[dict[Drifting, Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)]


@_strict
class Provenance:
    """What only who brought the faces knows of them; empty is *not stated*."""

    title: Told = ""
    creators: Told = ""
    purpose: Told = ""
    source: Told = ""
    collected: Told = ""
    consent: Told = ""
    labelled_by: Told = ""
    licence: Told = ""
    contact: Told = ""


@_strict
class File:
    """The whole file, its recipe not yet chosen."""

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
