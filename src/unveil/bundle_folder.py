"""What lies in a bundle's folder: its files by name, and the refusal of any other."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from unveil import checksum
from unveil.errors import UserError

Precision = Literal["float32", "int8"]

CARD = "bundle.json"
MARK = checksum.beside(Path(CARD)).name
FILES: dict[Precision, str] = {"float32": "model.onnx", "int8": "model.int8.onnx"}
"""Of each precision."""
LEAFLET = "README.md"
"""For people; no answer depends on it."""

OWN = frozenset({CARD, MARK, LEAFLET, *FILES.values()})


def refuse_unknown(folder: Path, digested: Iterable[str]) -> None:
    """Refuse a bundle with a file that is none of its own and has no digest in its card."""
    known = OWN.union(digested)
    for path in sorted(folder.glob("*")):
        if path.name not in known and not path.name.startswith(".") and path.is_file():
            raise UserError(f"{path} is not of this bundle: {CARD} has no digest of it; remove it")


def refuse_other_content(folder: Path) -> None:
    """Refuse to replace a folder that holds anything but a bundle, be it damaged.

    An absent or empty folder may be replaced.
    """
    way = "a bundle replaces its folder as a whole; name a new or an empty folder"
    try:
        found = {path.name: path.is_dir() for path in sorted(folder.iterdir())}
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(
            f"{folder} cannot be replaced: {str(error.strerror).lower()}; {way}"
        ) from None
    for name, is_folder in found.items():
        if name not in {*OWN, ".DS_Store"} or is_folder:
            raise UserError(f"{folder} has {name!r}, which is no part of a bundle; {way}")
    if found and not {CARD, MARK} & found.keys():
        raise UserError(f"{folder} has {next(iter(found))!r} but no {CARD}; {way}")
