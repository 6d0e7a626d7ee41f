"""Add pictures from user feedback to a copy of the archive, for the next version of the data.

Copies the current archive byte for byte and adds the pictures that `unveil serve` kept with
consent and a class, as ``train/CLASS/feedback-SHA256.png``; the result is for `unveil ingest`.
Feedback is used for training only: validation and test do not change. Pictures that were
withdrawn or are already in the archive are skipped. Command: ``unveil data feedback FOLDER
TARGET``.
"""

import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from unveil.common import audit_log
from unveil.common.errors import UserError, unknown_choice
from unveil.common.files import atomic_write, sha256
from unveil.config.provenance import dvc_hash
from unveil.data import archive as archives
from unveil.data import feedback_store
from unveil.data.archive import Layout
from unveil.data.feedback_store import PICTURES, FeedbackEntry
from unveil.data.ingest import zip_entry

KEPT = re.compile("feedback-([0-9a-f]{64})")
"""The digest in a member's name; `unveil data export` prefixes the name with a number."""


def add_feedback(source: Path, folder: Path, target: Path, layout: Layout) -> dict[str, int]:
    """Write ``target``, the archive with the pictures of ``folder``; count the new ones by class.

    Raises:
        UserError: ``target`` exists, no picture is new, or the archive has no splits.
    """
    archives.require_new_zip(target)
    with archives.open_archive(source) as archive:
        existing = set(KEPT.findall("\n".join(archive.namelist())))
        members = archives.read_listing(archive, layout).members
    if any(member.split is None for member in members):
        raise UserError(
            f"{source} has no folders train, validation and test: run `unveil data export FILE`, "
            "then `unveil ingest FILE`, which keeps the current splits"
        )
    new = {name: path for name, path in _faces(folder, layout) if path.stem not in existing}
    if not new:
        raise UserError(f"{folder} has no picture that is not yet in {source}")
    with atomic_write(target) as path:
        shutil.copyfile(source, path)
        with zipfile.ZipFile(path, "a") as target_zip:
            for name, picture in sorted(new.items()):
                target_zip.writestr(zip_entry(name), picture.read_bytes())
        audit_log.record("feedback", archive=dvc_hash(path), images=len(new))
    counts = Counter(name.split("/")[1] for name in new)
    return {name: counts[name] for name in layout.classes}


def _faces(folder: Path, layout: Layout) -> Iterator[tuple[str, Path]]:
    for answer in feedback_store.read(folder):
        path = folder / PICTURES / f"{answer.picture}.png"
        # The file of a withdrawn picture has been removed.
        if answer.picture is not None and path.is_file():
            yield _member(answer, path, layout), path


def _member(answer: FeedbackEntry, path: Path, layout: Layout) -> str:
    if answer.emotion not in layout.classes:
        raise unknown_choice(
            f"emotion in {path.parents[1] / feedback_store.LINES}:", answer.emotion, layout.classes
        )
    if sha256(path) != answer.picture:
        raise UserError(f"{path} was changed: its sha256 differs from its name; remove it")
    return f"train/{answer.emotion}/feedback-{answer.picture}.png"
