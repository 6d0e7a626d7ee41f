"""Faults injected into an archive of drawn faces, each a function from members to members.

`inject_faults(source, target, darker, ...)` writes the archive with all of them. Members are the
bytes of an archive's files by name, SAMPLE/SPLIT/CLASS/FILE; ``attributes.csv`` has the groups.
"""

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

Members = dict[str, bytes]
Fault = Callable[[Members], Members]


def inject_faults(source: Path, target: Path, *faults: Fault) -> Path:
    """Write ``source`` with faults injected, one after the other."""
    with zipfile.ZipFile(source) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for fault in faults:
        members = fault(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target


def imbalance(members: Members) -> Members:
    """Leave a fifth of the sad faces of train."""
    sad = sorted(name for name in members if "/train/sad/" in name)
    gone = set(sad) - set(sad[::5])
    return {name: content for name, content in members.items() if name not in gone}


def missing_group(members: Members) -> Members:
    """Leave out all happy faces with glasses."""
    wearing = {row["file"] for row in _attributes(members) if row["glasses"] == "yes"}
    gone = {name for name in members if "/happy/" in name and PurePath(name).name in wearing}
    return {name: content for name, content in members.items() if name not in gone}


def darker(members: Members) -> Members:
    """Have a third of its light taken from every face that is surprised."""
    return {
        name: _dimmed(content) if "/surprise/" in name else content
        for name, content in members.items()
    }


def twins_across_splits(members: Members, count: int = 30) -> Members:
    """Put copies of faces of the test split into train, under names of their own."""
    copied = sorted(name for name in members if "/test/" in name)[:count]
    copies = {
        name.replace("/test/", "/train/").replace(".png", "_again.png"): members[name]
        for name in copied
    }
    return members | copies


def _attributes(members: Members) -> list[dict[str, str]]:
    (name,) = (name for name in members if name.endswith("attributes.csv"))
    return list(csv.DictReader(io.StringIO(members[name].decode())))


def _dimmed(content: bytes) -> bytes:
    pixels = np.asarray(Image.open(io.BytesIO(content))) * (2 / 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()
