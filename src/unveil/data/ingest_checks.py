"""Checks and messages of `unveil ingest` and `unveil sample`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import dirname

from unveil.common import missing_files
from unveil.common.errors import UserError
from unveil.common.paths import ARCHIVE
from unveil.config.params import Params
from unveil.data import archive as archives
from unveil.data import synthetic
from unveil.data.archive import Listing
from unveil.data.decoding import SUFFIXES

MAX_FOLDERS_NAMED = 5
"""Maximum number of folders named in a line."""


def refuse_to_replace_with_synthetic(target: Path = ARCHIVE) -> None:
    """Raise ``UserError`` if the target has real faces, or is missing but tracked by git or DVC."""
    remedy = f"to start with synthetic faces, remove {missing_files.pointer(target)} from git"
    if hint := missing_files.restore_hint(target):
        raise UserError(f"{hint}; synthetic faces do not replace it; {remedy}")
    if target.exists() and not _is_synthetic(target):
        raise UserError(
            f"{target} has faces that are not synthetic, and synthetic ones do not replace them; "
            f"{remedy} and move {target} away"
        )


def _is_synthetic(target: Path) -> bool:
    with archives.open_archive(target) as archive:
        files = [entry.filename for entry in archive.infolist()]
    return synthetic.is_synthetic(name for name in files if Path(name).suffix.lower() in SUFFIXES)


def describe_replacement(
    before: str | None, after: str, *, was_here: bool, target: Path = ARCHIVE
) -> str:
    """Describe what the new archive replaced; ``before`` and ``after`` are md5 digests."""
    pointer = missing_files.pointer(target)
    if before is None:
        return ""
    if before == after:
        return f"the same faces as {pointer} recorded before"
    where = "" if was_here else ", which was missing"
    return (
        f"replaced the archive that {pointer} recorded, md5 {before}{where}; where that file was "
        f"committed, `git checkout -- {pointer} && dvc pull {target}` restores it"
    )


def ingest_notes(taken: Listing, params: Params) -> Iterator[str]:
    """Yield notes about an archive: ignored files, the origin of its splits, unreadable images.

    Hidden files, which operating systems add, are not mentioned.
    """
    if taken.ignored_suffixes:
        counts = sorted(taken.ignored_suffixes.items())
        named = ", ".join(f"{count} {suffix}" for suffix, count in counts)
        total, suffixes = sum(taken.ignored_suffixes.values()), ", ".join(sorted(SUFFIXES))
        yield f"ignored: {total} files, {named}; images end in {suffixes}"
    if taken.renamed:
        named = ", ".join(f"{name} is {split}" for name, split in sorted(taken.renamed.items()))
        yield f"splits by their folders: {named}"
    if taken.pooled:
        yield (
            f"no splits: {len(taken.pooled)} folders are pooled, {_counts(taken.pooled)}; to "
            "keep them apart, set their splits: data.split_folders in params.yaml"
        )
    if taken.unreadable:
        yield _unreadable(taken, params)


def _unreadable(taken: Listing, params: Params) -> str:
    name, why = next(iter(taken.unreadable.items()))
    share, most = len(taken.unreadable) / len(taken.members), params.rules["few_quarantined"]
    over = (
        f"; {share:.1%} exceeds rules.sets.few_quarantined.max_share {most['max_share']:g} of "
        "params.yaml"
    )
    return (
        f"unreadable: {len(taken.unreadable)} of {len(taken.members)} images "
        f"({_counts(Counter(map(dirname, taken.unreadable)))}), first {name!r}: {why}"
        f"{over if share > most['max_share'] else ''}"
    )


def _counts(folders: Mapping[str, int]) -> str:
    named = [f"{count} in {name!r}" for name, count in sorted(folders.items())]
    more = f" and {len(named) - MAX_FOLDERS_NAMED} more" if len(named) > MAX_FOLDERS_NAMED else ""
    return ", ".join(named[:MAX_FOLDERS_NAMED]) + more
