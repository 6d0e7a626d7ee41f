"""A bundle folder -> calibrated probabilities, without Keras or MLflow.

Takes ``bundle.json`` and ``model.onnx`` or ``model.int8.onnx``, as `unveil export` writes them:
``data/07_bundle``, or the starter if nothing was exported. Everything that affects a prediction has
a sha256: ``bundle.json.sha256`` that of ``bundle.json``, and ``bundle.json`` those of the networks.
Files that differ are rejected before ONNX Runtime reads them.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass as checked

from unveil.common.errors import UserError
from unveil.inference import checksum
from unveil.inference.bundle_files import CARD, FILES, Precision, refuse_unknown
from unveil.inference.decision import NEVER_BELOW
from unveil.inference.drift_reference import Reference
from unveil.inference.onnx_session import open_session

if TYPE_CHECKING:
    import onnxruntime

FORMAT: Literal[1] = 1

CLASSES, THRESHOLD, THRESHOLDS = "unveil.classes", "unveil.abstain_below", "unveil.thresholds"
"""Keys of the ONNX metadata that repeat values of ``bundle.json``, as JSON."""

MAX_BATCH = 32
"""Faces per session run; larger batches are no faster and take more memory."""

Share = Annotated[float, Field(ge=0, le=1)]


@checked(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Card:
    """The content of ``bundle.json``.

    The calibration, ``softmax(scale * log p + bias)`` or ``softmax(log p / temperature)``, is
    already applied inside the network; ``digests`` are sha256 by file name; ``numbers`` are metrics
    of the test split, ``parity`` compares the files with the Keras model. Without a ``reference``
    drift cannot be measured. ``thresholds``, ``scale`` and ``bias`` have one value for each class,
    or none: older bundles have one threshold, ``abstain_below``, for all classes, and a
    temperature.
    """

    format: Literal[1]
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    image_size: Annotated[int, Field(ge=16, le=512)]
    temperature: Annotated[float, Field(gt=0)]
    abstain_below: Share | None
    digests: dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]
    architecture: str
    numbers: dict[str, Any]
    lineage: dict[str, Any]
    parity: dict[str, Any] = Field(default_factory=dict)
    reference: Reference | None = None
    thresholds: tuple[Share, ...] = ()
    scale: tuple[Annotated[float, Field(gt=0)], ...] = ()
    bias: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _refuse_other_lengths(self) -> "Card":
        for name in ("thresholds", "scale", "bias"):
            if len(getattr(self, name)) not in (0, len(self.classes)):
                raise ValueError(f"{name} has not one value for each class")
        return self

    @property
    def class_thresholds(self) -> tuple[float, ...]:
        """The lowest probability at which each class is named, in their order."""
        single = NEVER_BELOW if self.abstain_below is None else self.abstain_below
        return self.thresholds or (single,) * len(self.classes)


class Answers(NamedTuple):
    """``probabilities (n, classes)``, and ``embeddings (n, d)`` if the network outputs them."""

    probabilities: NDArray[np.float32]
    embeddings: NDArray[np.float32] | None


@dataclass(frozen=True)
class Bundle:
    """A loaded network; ``digest`` is the sha256 of its ``bundle.json``."""

    folder: Path
    card: Card
    digest: str
    session: "onnxruntime.InferenceSession" = field(repr=False, compare=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        return self.card.classes

    @property
    def image_size(self) -> int:
        """The side of its square input, in pixels."""
        return self.card.image_size

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The lowest probability at which each class is named, in their order."""
        return self.card.class_thresholds

    @property
    def version(self) -> str | None:
        """The registered version it was exported from; ``None`` if there is none."""
        number = self.card.lineage.get("version")
        return None if number is None else str(number)

    def __str__(self) -> str:
        """Return architecture, version, and the first 12 digits of its digest."""
        version = "no version" if self.version is None else f"version {self.version}"
        return f"{self.card.architecture}, {version}, sha256 {self.digest[:12]}"

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict calibrated probabilities ``(n, classes)`` for gray ``images (n, s, s, 1)``."""
        return self.answers(images).probabilities

    def answers(self, images: NDArray[np.uint8]) -> Answers:
        """Predict probabilities and embeddings, the input of the last layer."""
        starts = range(0, max(1, len(images)), MAX_BATCH)
        parts = [self.session.run(None, {"faces": images[at : at + MAX_BATCH]}) for at in starts]
        probabilities, *embeddings = map(np.concatenate, zip(*parts, strict=True))
        return Answers(probabilities, embeddings[0] if embeddings else None)


def load(folder: Path, *, precision: Precision = "float32", threads: int = 0) -> Bundle:
    """Load a bundle; ``threads`` is the number of threads per batch, 0 for one per core.

    Raises ``UserError`` if a file is missing, altered, of another format, or not such a network.
    """
    while True:
        begun = _identity(folder)
        try:
            return _loaded(folder, precision, threads)
        except UserError:
            # Retry if the bundle was replaced while it was being read.
            if _identity(folder) in (begun, None):
                raise


def _identity(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _loaded(folder: Path, precision: Precision, threads: int) -> Bundle:
    content = checksum.read(folder / CARD)
    digest = checksum.verify(folder / CARD, content)
    card = _card(content, folder / CARD)
    refuse_unknown(folder, card.digests)
    model = _content(folder / FILES[precision], card)
    session = open_session(model, folder / FILES[precision], threads)
    _refuse_other_shape(session, card, folder / FILES[precision])
    _refuse_other_metadata(session, card, folder / FILES[precision])
    _refuse_other_reference(session, card, folder / CARD)
    return Bundle(folder=folder, card=card, digest=digest, session=session)


def _card(content: bytes, path: Path) -> Card:
    try:
        return TypeAdapter(Card).validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise UserError(f"{path}: {key}: {first['msg'].lower()}") from None


def _content(path: Path, card: Card) -> bytes:
    """Read a file of a bundle; ``UserError`` if its sha256 is not the one in ``card``."""
    if path.name not in card.digests:
        known = ", ".join(sorted(card.digests))
        raise UserError(f"{path.parent / CARD} has no {path.name}; it has {known}")
    read = checksum.read(path)
    if hashlib.sha256(read).hexdigest() != card.digests[path.name]:
        raise UserError(f"{path} does not match {CARD}: its sha256 differs; run `unveil export`")
    return read


def _refuse_other_shape(session: Any, card: Card, path: Path) -> None:
    takes = [(one.name, one.type, one.shape[1:]) for one in session.get_inputs()]
    gives = [(one.name, one.type, one.shape[1:]) for one in session.get_outputs()]
    size = card.image_size
    faces = [("faces", "tensor(uint8)", [size, size, 1])]
    probabilities = [("probabilities", "tensor(float)", [len(card.classes)])]
    # There may be a second output: embeddings.
    if (takes, gives[:1]) != (faces, probabilities):
        raise UserError(f"{path} takes {takes} and gives {gives}, not {faces} and {probabilities}")


def _refuse_other_metadata(session: Any, card: Card, path: Path) -> None:
    # Older exports have no such metadata.
    found = session.get_modelmeta().custom_metadata_map
    for name, expected in metadata(card).items():
        if found.get(name, expected) != expected:
            raise UserError(
                f"{path} says {name} is {found[name]}, {CARD} {expected}; run `unveil export`"
            )


def metadata(card: Card) -> dict[str, str]:
    """Return the ONNX metadata that repeats values of the card."""
    found = {CLASSES: json.dumps(card.classes), THRESHOLD: json.dumps(card.abstain_below)}
    return found | ({THRESHOLDS: json.dumps(card.thresholds)} if card.thresholds else {})


def _refuse_other_reference(session: Any, card: Card, path: Path) -> None:
    if card.reference is None:
        return
    labels, space = card.reference.histograms.get("label"), card.reference.space
    width = session.get_outputs()[1].shape[1:] if len(session.get_outputs()) > 1 else None
    if labels and len(labels.counts) != len(card.classes):
        raise UserError(f"{path}: reference: labels do not have {len(card.classes)} classes")
    if space and width != [len(space.mean)]:
        raise UserError(
            f"{path}: reference: embeddings have {width} dimensions, not {len(space.mean)}"
        )
