"""Find labelled faces again that were enlarged and pasted into a scene, and classify their crops.

Takes a zip file of faces in folders ``.../SPLIT/CLASS/NAME.jpg`` and a picture without faces.
Prints as Markdown which share `unveil predict` finds at each size, and the macro-F1 of the crops
of the faces that were found, beside that of the same faces as they are. The starter classifies. Run
from the project's folder: ``python scripts/pasted_faces.py faces.zip scene.jpg --count 100``.
"""

import argparse
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import binomtest
from tqdm import tqdm

from unveil.benchmarks.detection import match
from unveil.data.decoding import Pixels, decode
from unveil.evaluation import metrics
from unveil.inference import bundle, face_detector, picture_sizes
from unveil.inference.face_crop import Detection, cut

Size = tuple[int, int]
SIDES = (60, 100, 224, 300, 600)
SCENES: tuple[Size | None, ...] = (None, (640, 480), (1920, 1080), (4032, 3024))
"""Width and height of the scene; without one the face is the picture."""
CLASSIFIED: tuple[int, Size] = (200, (640, 480))
"""Side of the faces that are classified, and size of their scene."""


@dataclass(frozen=True)
class Paste:
    """Pastes faces of one size into a scene, each at another place, and finds them again."""

    side: int
    scene: Image.Image | None

    def picture(self, face: Pixels, number: int) -> tuple[Pixels, Size]:
        """Return the picture with the face, and the place of its corner."""
        side = self.side
        large = Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC)
        if self.scene is None:
            return np.asarray(large), (0, 0)
        picture = self.scene.copy()
        x = number * 37 % (picture.width - side + 1)
        y = number * 53 % (picture.height - side + 1)
        picture.paste(large, (x, y))
        return np.asarray(picture), (x, y)

    def found(self, face: Pixels, number: int, size: int) -> Pixels | None:
        """Return the face as it is cut from the picture, or ``None`` if it is not found."""
        picture, (x, y) = self.picture(face, number)
        for one in face_detector.detector(picture_sizes.FILES)(picture):
            if match([(x, y, self.side, self.side)], [one.box]):
                return cut(picture, one, size)
        return None


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("faces", type=Path, help="a zip file")
    parser.add_argument("scene", type=Path, help="a picture without faces")
    parser.add_argument("--split", default="test", help="a folder of the zip file")
    parser.add_argument("--count", type=int, default=100, help="faces for each share")
    given = parser.parse_args()
    faces = list(read(given.faces, given.split))
    scene = Image.open(given.scene).convert("RGB")
    chosen = np.random.default_rng(0).permutation(len(faces))[: given.count]
    print(shares([faces[one][1] for one in chosen], scene), end="\n\n")
    print(scores(faces, scene))


def read(path: Path, split: str) -> Iterator[tuple[str, Pixels]]:
    """Yield class and gray pixels of each face of a split."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            parts = name.split("/")
            if split in parts[:-2] and parts[-1]:
                yield parts[-2], decode(archive.read(name)).pixels


def shares(faces: Sequence[Pixels], scene: Image.Image) -> str:
    """Return the table of the shares that are found."""
    names = ["alone" if size is None else "in {}x{}".format(*size) for size in SCENES]
    lines = [f"| side | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for side in tqdm(SIDES, desc="sizes", unit=" sizes"):
        cells = [_share(side, size, faces, scene) for size in SCENES]
        lines.append(f"| {side} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"n = {len(faces)} for each; 95 % interval (Wilson)."])


def _share(side: int, size: Size | None, faces: Sequence[Pixels], scene: Image.Image) -> str:
    if size is not None and side > min(size):
        return ""
    paste = Paste(side, None if size is None else scene.resize(size))
    found = sum(paste.found(face, at, 48) is not None for at, face in enumerate(faces))
    low, high = binomtest(found, len(faces)).proportion_ci(method="wilson")
    return f"{found / len(faces):.2f} [{low:.2f}, {high:.2f}]"


def scores(faces: Sequence[tuple[str, Pixels]], scene: Image.Image) -> str:
    """Return the macro-F1 of the faces that are found, as they are and cut out again."""
    starter = bundle.load(Path("models/starter"))
    side, size = CLASSIFIED
    paste, size_of_crop = Paste(side, scene.resize(size)), starter.image_size
    whole = Detection((0, 0, *faces[0][1].shape[::-1]))
    pairs = [
        (starter.classes.index(name), cut(face, whole, size_of_crop), crop)
        for at, (name, face) in enumerate(tqdm(faces, desc="classified", unit=" faces"))
        if (crop := paste.found(face, at, size_of_crop)) is not None
    ]
    labels, whole_faces, crops = zip(*pairs, strict=True)
    truth = np.array(labels)
    own, again = _predicted(starter, whole_faces), _predicted(starter, crops)
    count = len(starter.classes)
    before, after = (
        metrics.confidence_interval(
            metrics.macro_f1, metrics.confusion_matrix(truth, predicted, count)
        )
        for predicted in (own, again)
    )
    loss = metrics.paired_difference(truth, own, again, classes=count)
    return "\n".join(
        [
            f"Found at {side} pixels in {size[0]}x{size[1]}: {len(pairs)} of {len(faces)}.",
            f"Macro-F1 of these faces {before}, cut out again {after}, loss {loss}.",
        ]
    )


def _predicted(starter: bundle.Bundle, faces: Sequence[Pixels]) -> metrics.Labels:
    return np.asarray(starter.probabilities(np.stack(faces)[..., np.newaxis]).argmax(1))


if __name__ == "__main__":
    main()
