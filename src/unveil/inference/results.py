"""The predictions for one picture, for use from Python."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from PIL import Image

from unveil.data.decoding import Pixels
from unveil.inference.annotate import draw
from unveil.inference.decision import Answer
from unveil.inference.face_crop import Box

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Face:
    """The apparent expression of one face.

    ``box`` is x, y, width, height in pixels; ``None`` if the picture is the face.
    """

    answer: Answer
    box: Box | None = None

    @property
    def emotion(self) -> str | None:
        """The class, or ``None`` if the network is unsure."""
        return self.answer.emotion

    @property
    def probabilities(self) -> dict[str, float]:
        """The probabilities of all classes; their sum is 1."""
        return self.answer.probabilities

    @property
    def top(self) -> str | None:
        """The most probable class, also if the network is unsure."""
        return self.answer.top

    @property
    def confidence(self) -> float | None:
        """The probability of the most probable class, 0 to 1."""
        return self.answer.confidence

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a dictionary that can be written as JSON."""
        return {
            "emotion": self.emotion,
            "top": self.top,
            "confidence": self.confidence,
            "box": None if self.box is None else list(self.box),
            "probabilities": dict(self.probabilities),
        }

    def __str__(self) -> str:
        """Return the class with its probability."""
        return self.answer.label


COLUMNS = ["source", "face", "x", "y", "width", "height", "emotion", "top", "confidence"]
"""The columns of a table of faces before the probabilities."""


@dataclass(frozen=True)
class Result(Sequence[Face]):
    """The faces of one picture, largest first; empty if there are none.

    ``source`` is the path or the kind of the picture, ``model`` the network that predicted.
    """

    source: str
    faces: tuple[Face, ...]
    model: dict[str, str | None] = field(compare=False)
    pixels: Pixels = field(repr=False, compare=False)

    @overload
    def __getitem__(self, place: int) -> Face: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Face]: ...

    def __getitem__(self, place: int | slice) -> Face | Sequence[Face]:
        """Return a face by its place."""
        return self.faces[place]

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        """Iterate over the faces."""
        return iter(self.faces)

    def plot(self) -> Image.Image:
        """Draw the boxes and labels on the picture."""
        height, width = self.pixels.shape[:2]
        whole = (0, 0, width, height)
        return draw(self.pixels, [(face.box or whole, str(face)) for face in self.faces])

    def to_dict(self) -> dict[str, Any]:
        """Return the values as a dictionary that can be written as JSON."""
        faces = [face.to_dict() for face in self.faces]
        return {"source": self.source, "faces": faces, "model": self.model}

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row for each face; a probability is in the column ``p_CLASS``.

        Without a face the table has no row and none of these columns. Raises ``UserError`` if
        pandas is not installed.
        """
        from unveil.common.optional import import_optional

        pandas = import_optional("pandas")
        rows = []
        for number, face in enumerate(self.faces):
            x, y, width, height = face.box or (None,) * 4
            place = {"x": x, "y": y, "width": width, "height": height}
            shares = {f"p_{name}": share for name, share in face.probabilities.items()}
            named = {"emotion": face.emotion, "top": face.top, "confidence": face.confidence}
            rows.append({"source": self.source, "face": number, **place, **named, **shares})
        table: pd.DataFrame = pandas.DataFrame(rows, columns=None if rows else COLUMNS)
        return table
