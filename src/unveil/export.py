"""champion -> bundle: what serving, browser and edge ask, without Keras and MLflow.

Takes the champion, or ``data/04_models/ARCH`` and its report, and the packed faces; makes
``data/07_bundle`` with ``model.onnx``, ``model.int8.onnx``, ``bundle.json``, its digest and
``README.md``.
Command: ``unveil export``. Refused: a file that does not answer as the network does on test.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unveil import bundle, checksum, convert, measures, packed, reference, registry, train
from unveil.answer import bound
from unveil.bundle import FORMAT, Bundle, Card
from unveil.bundle_folder import CARD, FILES, LEAFLET, refuse_other_content
from unveil.calibration import calibrated
from unveil.errors import UserError
from unveil.evaluate import probabilities
from unveil.files import existing, read_json, replacing, sha256, write_json
from unveil.leaflet import is_calibrated, leaflet, score
from unveil.params import Params
from unveil.paths import BUNDLE, MODELS, PACKED, REPORTS, STARTER
from unveil.registry import Version

if TYPE_CHECKING:
    import keras

NO_CHAMPION = (
    "there is no champion yet; `make train-all` trains and promotes one, or "
    "`unveil export --architecture ARCH` takes a trained network"
)
TOLERANCE = 1e-4
"""By how much a probability of ``model.onnx`` may differ from Keras's."""
SHOWN = 512
"""Training faces on which the ranges of the 8-bit network are measured."""
KNOWN = 20_000
"""Training faces whose looks are the reference of those that are served."""
DECIDED = ("target_risk", "target_kept")
"""What a report says of its threshold, and the page beside a bundle repeats."""
STARTER_BYTES = 8_000_000
"""How large the network in ``models/starter`` may be: git keeps it for ever."""


@dataclass(frozen=True)
class Source:
    """A trained network, what it was trained for, and where it is from.

    ``tested_on`` is the digest of the test images of its report; None: those that are packed.
    """

    network: "keras.Model"
    architecture: str
    classes: tuple[str, ...]
    image_size: int
    calibration: dict[str, Any]
    lineage: dict[str, Any]
    tested_on: str | None = None


@dataclass(frozen=True)
class Parity:
    """How far a file answers as Keras does: largest difference, labels changed, of ``images``."""

    images: int
    max_difference: float
    changed_labels: int


def champion() -> Source:
    """Take the champion from the registry; its calibration is of its own report."""
    version = registry.champion()
    if version is None:
        raise UserError(NO_CHAMPION)
    return registered(version)


def registered(version: Version) -> Source:
    """Take a version of the registry, champion or not, whatever the parameters are now."""
    report, faces = registry.report(version), registry.faces_of(version)
    return Source(
        network=registry.load(version),
        architecture=version.architecture,
        classes=version.classes,
        image_size=version.image_size,
        calibration=report.get("calibration", {}),
        lineage={"origin": version.origin, "version": version.number, "data": faces},
        tested_on=report.get("test_digest", "unknown"),
    )


def trained(key: str, params: Params) -> Source:
    """Take a trained network of this project, champion or not."""
    folder = MODELS / params.named(key)
    path = existing(folder / "model.keras", made_by=f"unveil train {key}")
    report = REPORTS / key / "metrics.json"
    metrics = read_json(report, made_by=f"unveil evaluate {key}") if report.exists() else {}
    ours = metrics.get("model_digest") == sha256(path)
    return Source(
        network=train.load(path),
        architecture=key,
        classes=params.classes,
        image_size=params.data.image_size,
        calibration=metrics.get("calibration", {}) if ours else {},
        lineage={
            "origin": registry.origin(folder),
            "version": None,
            "data": registry.faces(folder),
        },
        tested_on=metrics.get("test_digest") if ours else None,
    )


def export(source: Source, target: Path = BUNDLE) -> Bundle:
    """Write a bundle whole or not at all, and give it back, loaded.

    Of one that was tested on other images than those that are packed no number is stated.
    """
    refuse_other_content(target)
    test, shown = packed.load("test"), packed.subset(packed.load("train"), SHOWN, seed=0)
    _refuse_other_images(source, test.images)
    card = _card(source)
    expected = calibrated(probabilities(source.network, test.images), card.temperature)
    with replacing(target, at_once=True) as folder:
        folder.mkdir()
        convert.to_onnx(source.network, folder / FILES["float32"], temperature=card.temperature)
        convert.quantize(folder / FILES["float32"], folder / FILES["int8"], shown.images)
        _refuse_large(folder / FILES["float32"], target)
        for name in FILES.values():
            convert.label(folder / name, bundle.meaning(card))
        card = replace(card, digests={name: sha256(folder / name) for name in FILES.values()})
        _write(folder, card)
        numbers, compared = _measured(folder, test, expected)
        card = replace(card, parity=compared)
        if card.lineage["test_digest"] == sha256(PACKED / "test.npz"):
            known = _reference(bundle.load(folder))
            card = replace(card, numbers=numbers, reference=known)
        _write(folder, card)
        (folder / LEAFLET).write_text(leaflet(card))
    return bundle.load(target)


def _write(folder: Path, card: Card) -> None:
    write_json(folder / CARD, asdict(card))
    checksum.write(folder / CARD)


def _card(source: Source) -> Card:
    now = sha256(PACKED / "test.npz")
    tested_on = source.tested_on or now
    return Card(
        format=FORMAT,
        classes=source.classes,
        image_size=source.image_size,
        temperature=float(source.calibration.get("temperature", 1.0)),
        abstain_below=source.calibration.get("abstain_below"),
        digests={},
        architecture=source.architecture,
        numbers={},
        lineage={
            **source.lineage,
            "test_digest": tested_on,
            **{name: source.calibration[name] for name in DECIDED if name in source.calibration},
        },
    )


def parity(expected: NDArray[np.floating], found: NDArray[np.floating]) -> Parity:
    """Compare probabilities ``(n, classes)`` of the same images."""
    return Parity(
        images=len(expected),
        max_difference=float(np.abs(expected - found).max()),
        changed_labels=int((expected.argmax(1) != found.argmax(1)).sum()),
    )


def told(made: Bundle) -> str:
    """Say in one line each what the files are and how near they come to Keras."""
    card = made.card
    lines = [f"{made.folder}: {card.architecture}, {card.parity['float32']['images']} test faces"]
    if not is_calibrated(card):
        lines.append(
            f"not calibrated, and unsure under {bound(None):g} alone: it has no report of its own"
        )
    if not card.numbers:
        lines.append(
            f"no numbers, and nothing to hold drift against: {PACKED}/test.npz is not what it was "
            "tested on; `git checkout` and `dvc checkout` of its data, then `unveil export`"
        )
    for precision, name in FILES.items():
        size = (made.folder / name).stat().st_size / 1e6
        near = card.parity[precision]
        lines.append(
            f"{name}: {size:.1f} MB, macro-F1 {score(card, precision)}, "
            f"{near['max_difference']:.1e} from Keras, {near['changed_labels']} labels changed"
        )
    return "\n".join(lines)


def _reference(made: Bundle) -> reference.Reference:
    train, validation = packed.load("train"), packed.load("validation")
    said = made.answers(validation.images)
    shown = packed.subset(train, KNOWN, seed=0).images
    return reference.reference(shown, said.probabilities, said.embeddings)


def _measured(
    folder: Path, test: packed.Faces, expected: NDArray[np.floating]
) -> tuple[dict[str, Any], dict[str, Any]]:
    scores, compared = {}, {}
    for precision in FILES:
        made = bundle.load(folder, precision=precision)
        answers = made.probabilities(test.images)
        compared[precision] = parity(expected, answers)
        matrix = measures.confusion(test.labels, answers.argmax(1), len(made.classes))
        scores[precision] = asdict(measures.interval(measures.macro_f1, matrix))
    _refuse_difference(compared["float32"])
    numbers = {"images": len(test), "macro_f1": scores["float32"], "macro_f1_int8": scores["int8"]}
    return numbers, {name: asdict(one) for name, one in compared.items()}


def _refuse_difference(found: Parity) -> None:
    if not found.max_difference <= TOLERANCE:
        raise UserError(
            f"model.onnx does not answer as Keras does: {found.max_difference:.2g} apart at most, "
            f"{found.changed_labels} of {found.images} labels changed, more than {TOLERANCE:.2g}"
        )


def _refuse_other_images(source: Source, images: NDArray[np.uint8]) -> None:
    if images.shape[1] != source.image_size:
        raise UserError(
            f"{source.architecture} takes faces of {source.image_size} pixels, "
            f"{PACKED}/test.npz has {images.shape[1]}; `unveil pack` makes it anew"
        )


def _refuse_large(path: Path, target: Path) -> None:
    size = path.stat().st_size
    if target.absolute() == STARTER.absolute() and size > STARTER_BYTES:
        raise UserError(
            f"{path.name} has {size} bytes, {STARTER} takes {STARTER_BYTES} at most; "
            "export a smaller network"
        )
