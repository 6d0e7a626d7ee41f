"""Champion -> bundle, for the server, browsers and edge devices, without Keras and MLflow.

Takes the champion, or ``data/04_models/ARCH`` and its report, and the packed faces; writes
``data/07_bundle`` with ``model.onnx``, ``model.int8.onnx``, ``bundle.json``, its sha256 and
``README.md``. Command: ``unveil export``. The export fails if ``model.onnx`` does not reproduce
the Keras model's probabilities on the test images.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unveil import registry
from unveil.common.errors import UserError
from unveil.common.files import atomic_write, read_json, require_path, sha256, write_json
from unveil.common.paths import BUNDLE, MODELS, PACKED, REPORTS, STARTER
from unveil.config.params import Params
from unveil.dataset import arrays
from unveil.evaluation import calibration
from unveil.evaluation import metrics as measures
from unveil.evaluation.evaluate import probabilities
from unveil.export import onnx_conversion, parity
from unveil.export.bundle_readme import is_calibrated, render, score
from unveil.export.card_fields import calibration_fields, decision_lineage
from unveil.inference import bundle, checksum, drift_reference
from unveil.inference.bundle import FORMAT, Bundle, Card
from unveil.inference.bundle_files import CARD, FILES, README, refuse_other_content
from unveil.inference.decision import NEVER_BELOW
from unveil.registry import Version
from unveil.training import train

if TYPE_CHECKING:
    import keras

NO_CHAMPION = (
    "there is no champion yet; `make train-all` trains and promotes one, or "
    "`unveil export --architecture ARCH` takes a trained network"
)
QUANTIZATION_FACES = 512
"""Training faces used to calibrate the value ranges of the 8-bit network."""
REFERENCE_FACES = 20_000
"""Training faces from which the drift reference is computed."""
STARTER_BYTES = 8_000_000
"""Size limit of the network in ``models/starter``, which is stored in git."""


@dataclass(frozen=True)
class Source:
    """A trained network with its classes, calibration and lineage.

    ``tested_on`` is the digest of the test images of its report; None: those packed now.
    """

    network: "keras.Model"
    architecture: str
    classes: tuple[str, ...]
    image_size: int
    calibration: dict[str, Any]
    lineage: dict[str, Any]
    tested_on: str | None = None


def champion() -> Source:
    """Load the champion from the registry, with the calibration of its own report."""
    version = registry.champion()
    if version is None:
        raise UserError(NO_CHAMPION)
    return registered(version)


def registered(version: Version) -> Source:
    """Load a registered version, champion or not, independent of the current parameters."""
    report, faces = registry.version_report(version), registry.face_source_of(version)
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
    """Load a trained network of this project, champion or not."""
    folder = MODELS / params.require_architecture(key)
    path = require_path(folder / "model.keras", made_by=f"unveil train {key}")
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
            "origin": registry.training_origin(folder),
            "version": None,
            "data": registry.face_source(folder),
        },
        tested_on=metrics.get("test_digest") if ours else None,
    )


def export(source: Source, target: Path = BUNDLE) -> Bundle:
    """Write a bundle atomically, and return it loaded.

    If the network was tested on other images than those packed now, the bundle states no metrics.
    """
    refuse_other_content(target)
    test, shown = (
        arrays.load("test"),
        arrays.subset(arrays.load("train"), QUANTIZATION_FACES, seed=0),
    )
    _refuse_other_images(source, test.images)
    card = _card(source)
    calibrated = calibration.from_report(source.calibration, len(source.classes))
    expected = calibrated.apply(probabilities(source.network, test.images))
    with atomic_write(target, at_once=True) as folder:
        folder.mkdir()
        onnx_conversion.to_onnx(source.network, folder / FILES["float32"], calibration=calibrated)
        onnx_conversion.quantize(folder / FILES["float32"], folder / FILES["int8"], shown.images)
        _refuse_large(folder / FILES["float32"], target)
        for name in FILES.values():
            onnx_conversion.add_metadata(folder / name, bundle.metadata(card))
        card = replace(card, digests={name: sha256(folder / name) for name in FILES.values()})
        _write(folder, card)
        numbers, compared = _evaluate(folder, test, expected)
        card = replace(card, parity=compared)
        if card.lineage["test_digest"] == sha256(PACKED / "test.npz"):
            known = _reference(bundle.load(folder))
            card = replace(card, numbers=numbers, reference=known)
        _write(folder, card)
        (folder / README).write_text(render(card))
    return bundle.load(target)


def _write(folder: Path, card: Card) -> None:
    write_json(folder / CARD, asdict(card))
    checksum.write(folder / CARD)


def _card(source: Source) -> Card:
    tested_on = source.tested_on or sha256(PACKED / "test.npz")
    return Card(
        format=FORMAT,
        classes=source.classes,
        image_size=source.image_size,
        **calibration_fields(source.calibration),
        digests={},
        architecture=source.architecture,
        numbers={},
        lineage={
            **source.lineage,
            "test_digest": tested_on,
            **decision_lineage(source.calibration),
        },
    )


def summary(made: Bundle) -> str:
    """Summarize the bundle's files, one line each, with their difference from Keras."""
    card = made.card
    lines = [f"{made.folder}: {card.architecture}, {card.parity['float32']['images']} test faces"]
    if not is_calibrated(card):
        lines.append(f"not calibrated, unsure below {NEVER_BELOW:g}: it has no report of its own")
    if not card.numbers:
        lines.append(
            f"no metrics and no drift reference: {PACKED}/test.npz is not what it was "
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


def _reference(made: Bundle) -> drift_reference.Reference:
    train, validation = arrays.load("train"), arrays.load("validation")
    predicted = made.answers(validation.images)
    shown = arrays.subset(train, REFERENCE_FACES, seed=0).images
    return drift_reference.build_reference(shown, predicted.probabilities, predicted.embeddings)


def _evaluate(
    folder: Path, test: arrays.Faces, expected: NDArray[np.floating]
) -> tuple[dict[str, Any], dict[str, Any]]:
    scores, compared = {}, {}
    for precision in FILES:
        made = bundle.load(folder, precision=precision)
        answers = made.probabilities(test.images)
        compared[precision] = parity.measure(expected, answers)
        matrix = measures.confusion_matrix(test.labels, answers.argmax(1), len(made.classes))
        scores[precision] = asdict(measures.confidence_interval(measures.macro_f1, matrix))
    parity.refuse_difference(compared["float32"])
    numbers = {
        "images": len(test),
        "macro_f1": scores["float32"],
        "macro_f1_int8": scores["int8"],
    }
    return numbers, {name: asdict(one) for name, one in compared.items()}


def _refuse_other_images(source: Source, images: NDArray[np.uint8]) -> None:
    if images.shape[1] != source.image_size:
        raise UserError(
            f"{source.architecture} takes faces of {source.image_size} pixels, "
            f"{PACKED}/test.npz has {images.shape[1]}; `unveil pack` rebuilds it"
        )


def _refuse_large(path: Path, target: Path) -> None:
    size = path.stat().st_size
    if target.absolute() == STARTER.absolute() and size > STARTER_BYTES:
        raise UserError(
            f"{path.name} has {size} bytes, {STARTER} takes {STARTER_BYTES} at most; "
            "export a smaller network"
        )
