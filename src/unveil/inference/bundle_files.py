"""The files of a bundle's folder: their names, and the refusal of any other file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from unveil.common.errors import UserError
from unveil.inference import checksum

Precision = Literal["float32", "int8"]

CARD = "bundle.json"
CARD_CHECKSUM = checksum.checksum_path(Path(CARD)).name
FILES: dict[Precision, str] = {"float32": "model.onnx", "int8": "model.int8.onnx"}
"""The network's file name by precision."""
README = "README.md"
"""For people; no prediction depends on it."""

BUNDLE_FILES = frozenset({CARD, CARD_CHECKSUM, README, *FILES.values()})


def refuse_unknown(folder: Path, digested: Iterable[str]) -> None:
    """Refuse a bundle with a file that is neither a bundle's nor has a digest in its card."""
    known = BUNDLE_FILES.union(digested)
    for path in sorted(folder.glob("*")):
        if path.name not in known and not path.name.startswith(".") and path.is_file():
            raise UserError(
                f"{path} does not belong to this bundle: {CARD} has no digest for it; remove it"
            )


def refuse_other_content(folder: Path) -> None:
    """Refuse to replace a folder that contains anything but a bundle, which may be damaged.

    An absent or empty folder may be replaced.
    """
    remedy = "a bundle replaces the whole folder; name a new or an empty folder"
    try:
        found = {path.name: path.is_dir() for path in sorted(folder.iterdir())}
    except FileNotFoundError:
        return
    except OSError as error:
        cause = str(error.strerror).lower()
        raise UserError(f"{folder} cannot be replaced: {cause}; {remedy}") from None
    for name, is_folder in found.items():
        if name not in {*BUNDLE_FILES, ".DS_Store"} or is_folder:
            raise UserError(f"{folder} has {name!r}, which is not part of a bundle; {remedy}")
    if found and not {CARD, CARD_CHECKSUM} & found.keys():
        raise UserError(f"{folder} has {next(iter(found))!r} but no {CARD}; {remedy}")
