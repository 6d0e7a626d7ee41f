"""a folder with a network and its card -> calibrated probabilities, without Keras or MLflow.

Takes ``bundle.json`` and ``model.onnx`` or ``model.int8.onnx``, as `unveil export` makes them:
``data/07_bundle``, or ``models/starter`` of the repository where nothing was exported. All that
decides an answer is under a digest: ``bundle.json.sha256`` has that of ``bundle.json``, which has
those of the networks. What is another is refused before ONNX Runtime reads it.
"""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from unveil import checksum
from unveil.bundle_folder import CARD, FILES, Precision, refuse_unknown
from unveil.errors import UserError
from unveil.reference import Reference

if TYPE_CHECKING:
    import onnxruntime

FORMAT: Literal[1] = 1

CLASSES, THRESHOLD = "unveil.classes", "unveil.abstain_below"
"""The names in a network's metadata under which it repeats what its card says, as JSON."""

LARGEST = 32
"""Faces in one call of the network; larger batches are no faster, and take more memory."""

EXTERNAL = "session.model_external_initializers_file_folder_path"
"""ONNX Runtime's setting for where weights outside of the network's file lie."""

Share = Annotated[float, Field(ge=0, le=1)]


@checked(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Card:
    """What ``bundle.json`` says.

    ``temperature`` is in the network already; ``digests`` are sha256 by file name; ``numbers`` are
    those of the test split, ``parity`` how far the files answer as Keras did. Without a
    ``reference`` nobody can say how far served faces have drifted.
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


class Answers(NamedTuple):
    """Of some faces: ``probabilities (n, classes)``, and ``embeddings (n, d)`` if it gives them."""

    probabilities: NDArray[np.float32]
    embeddings: NDArray[np.float32] | None


@dataclass(frozen=True)
class Bundle:
    """A network ready to answer; ``digest`` is the sha256 of its ``bundle.json``."""

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
        """The side of the square face it takes, in pixels."""
        return self.card.image_size

    @property
    def abstain_below(self) -> float | None:
        """The probability under which it had better say nothing."""
        return self.card.abstain_below

    @property
    def version(self) -> str | None:
        """The version of the registry that it was made of; ``None`` for one that has none."""
        number = self.card.lineage.get("version")
        return None if number is None else str(number)

    def __str__(self) -> str:
        """Name it in a line: architecture, version, and the start of its digest."""
        version = "no version" if self.version is None else f"version {self.version}"
        return f"{self.card.architecture}, {version}, sha256 {self.digest[:12]}"

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give calibrated probabilities ``(n, classes)`` of raw gray ``images (n, s, s, 1)``."""
        return self.answers(images).probabilities

    def answers(self, images: NDArray[np.uint8]) -> Answers:
        """Give the same with embeddings: what the last layer but one makes of a face."""
        starts = range(0, max(1, len(images)), LARGEST)
        parts = [self.session.run(None, {"faces": images[at : at + LARGEST]}) for at in starts]
        probabilities, *embeddings = map(np.concatenate, zip(*parts, strict=True))
        return Answers(probabilities, embeddings[0] if embeddings else None)


def load(folder: Path, *, precision: Precision = "float32", threads: int = 0) -> Bundle:
    """Load a bundle; ``threads`` work on one batch, 0 for one on each core.

    Raises ``UserError`` for what is absent, altered, of another format, or no such network.
    """
    while True:
        begun = _identity(folder)
        try:
            return _loaded(folder, precision, threads)
        except UserError:
            # One that is exchanged while it is read is read again.
            if _identity(folder) in (begun, None):
                raise


def _identity(folder: Path) -> int | None:
    try:
        return folder.stat().st_ino
    except OSError:
        return None


def _loaded(folder: Path, precision: Precision, threads: int) -> Bundle:
    told = checksum.read(folder / CARD)
    digest = checksum.verified(folder / CARD, told)
    card = _card(told, folder / CARD)
    refuse_unknown(folder, card.digests)
    model = _content(folder / FILES[precision], card)
    session = _session(model, folder / FILES[precision], threads)
    _refuse_another_shape(session, card, folder / FILES[precision])
    _refuse_another_meaning(session, card, folder / FILES[precision])
    _refuse_another_reference(session, card, folder / CARD)
    return Bundle(folder=folder, card=card, digest=digest, session=session)


def _card(content: bytes, path: Path) -> Card:
    try:
        return TypeAdapter(Card).validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise UserError(f"{path}: {key}: {first['msg'].lower()}") from None


def _content(path: Path, card: Card) -> bytes:
    """Read a file of a bundle; ``UserError`` where it is not what ``card`` says."""
    if path.name not in card.digests:
        known = ", ".join(sorted(card.digests))
        raise UserError(f"{path.parent / CARD} has no {path.name}; it has {known}")
    read = checksum.read(path)
    if hashlib.sha256(read).hexdigest() != card.digests[path.name]:
        raise UserError(f"{path} is not what {CARD} says: its sha256 differs; export it again")
    return read


def _session(model: bytes, path: Path, threads: int) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Weights in a file of their own are under no digest, and would be looked for where we work.
    options.add_session_config_entry(EXTERNAL, os.devnull)
    # Threads that spin while they wait cost a server 1.6 ms of processor time for each face.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises classes of its own, which share no other
        reason = (str(error).splitlines() or ["no reason given"])[0][:160]
        raise UserError(f"{path} is no network for ONNX Runtime: {reason}") from None


def _refuse_another_shape(session: Any, card: Card, path: Path) -> None:
    takes = [(one.name, one.type, one.shape[1:]) for one in session.get_inputs()]
    gives = [(one.name, one.type, one.shape[1:]) for one in session.get_outputs()]
    size = card.image_size
    faces = [("faces", "tensor(uint8)", [size, size, 1])]
    probabilities = [("probabilities", "tensor(float)", [len(card.classes)])]
    # Another output may be there: embeddings.
    if (takes, gives[:1]) != (faces, probabilities):
        raise UserError(f"{path} takes {takes} and gives {gives}, not {faces} and {probabilities}")


def _refuse_another_meaning(session: Any, card: Card, path: Path) -> None:
    # Networks that were exported before this was written have none.
    kept = session.get_modelmeta().custom_metadata_map
    for name, said in meaning(card).items():
        if kept.get(name, said) != said:
            raise UserError(f"{path} says {name} is {kept[name]}, {CARD} {said}; export it again")


def meaning(card: Card) -> dict[str, str]:
    """Give what a network's metadata repeats of its card."""
    return {CLASSES: json.dumps(card.classes), THRESHOLD: json.dumps(card.abstain_below)}


def _refuse_another_reference(session: Any, card: Card, path: Path) -> None:
    if card.reference is None:
        return
    labels, space = card.reference.histograms.get("label"), card.reference.space
    width = session.get_outputs()[1].shape[1:] if len(session.get_outputs()) > 1 else None
    if labels and len(labels.counts) != len(card.classes):
        raise UserError(f"{path}: reference: labels are not of {len(card.classes)} classes")
    if space and width != [len(space.mean)]:
        raise UserError(
            f"{path}: reference: embeddings have {width}, not {len(space.mean)} numbers"
        )
