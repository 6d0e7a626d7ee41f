"""archive + feedback -> a larger archive, from which the next version of the faces is made.

Takes the archive of now, byte for byte, and of the feedback that `unveil serve` kept what people
consented to and named a class of; makes a zip with ``train/CLASS/feedback-SHA256.png`` besides, to
be given to `unveil ingest`. Feedback is learned from and never judged by: no other split changes.
A picture that was taken back, or is there already, is left out. Command:
``unveil data feedback FOLDER TARGET``.
"""

import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from unveil.common import audit_log
from unveil.common.errors import UserError, unknown
from unveil.common.files import replacing, sha256
from unveil.config.provenance import dvc_hash
from unveil.data import archive as archives
from unveil.data import feedback
from unveil.data.archive import Layout
from unveil.data.feedback import PICTURES, Entry
from unveil.data.ingest import entry

KEPT = re.compile("feedback-([0-9a-f]{64})")
"""The digest in a member's name, which `unveil data export` puts a number before."""


def enlarge(source: Path, folder: Path, target: Path, layout: Layout) -> dict[str, int]:
    """Write the archive with the faces of ``folder``; counts these by class, in order.

    ``UserError`` where ``target`` is there, nothing is new, or the archive has no splits.
    """
    archives.refuse_taken(target)
    with archives.opened(source) as archive:
        known = set(KEPT.findall("\n".join(archive.namelist())))
        members = archives.listing(archive, layout).members
    if any(member.split is None for member in members):
        raise UserError(
            f"{source} has no folders train, validation and test: take it out by `unveil data "
            "export FILE`, and in again by `unveil ingest FILE`, which keeps the splits as they are"
        )
    new = {name: path for name, path in _faces(folder, layout) if path.stem not in known}
    if not new:
        raise UserError(f"{folder} has no picture that is new to {source}")
    with replacing(target) as path:
        shutil.copyfile(source, path)
        with zipfile.ZipFile(path, "a") as made:
            for name, picture in sorted(new.items()):
                made.writestr(entry(name), picture.read_bytes())
        audit_log.record("feedback", archive=dvc_hash(path), images=len(new))
    counts = Counter(name.split("/")[1] for name in new)
    return {name: counts[name] for name in layout.classes}


def _faces(folder: Path, layout: Layout) -> Iterator[tuple[str, Path]]:
    for said in feedback.read(folder):
        path = folder / PICTURES / f"{said.picture}.png"
        # Whoever takes a picture back removes its file.
        if said.picture is not None and path.is_file():
            yield _member(said, path, layout), path


def _member(said: Entry, path: Path, layout: Layout) -> str:
    if said.emotion not in layout.classes:
        raise unknown(
            f"emotion in {path.parents[1] / feedback.LINES}:", said.emotion, layout.classes
        )
    if sha256(path) != said.picture:
        raise UserError(f"{path} is not what was kept: its sha256 is another one; remove it")
    return f"train/{said.emotion}/feedback-{said.picture}.png"
