"""What `unveil ingest` and `unveil sample` may replace, and what they say of what they took."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import dirname

from unveil import archive as archives
from unveil import sample, tracked
from unveil.archive import Listing
from unveil.errors import UserError
from unveil.images import SUFFIXES
from unveil.params import Params
from unveil.paths import ARCHIVE

NAMED = 5
"""How many folders a line names."""


def refuse_replaced_by_drawings(target: Path = ARCHIVE) -> None:
    """Refuse to draw faces over others that are here or that git or DVC has."""
    anew = f"to begin anew with drawn faces, remove {tracked.pointer(target)} from git"
    if said := tracked.lost(target):
        raise UserError(f"{said}; drawn faces do not replace it; {anew}")
    if target.exists() and not _is_drawn(target):
        raise UserError(
            f"{target} has faces that are not drawn, and drawn ones do not replace them; "
            f"{anew} and move {target} away"
        )


def _is_drawn(target: Path) -> bool:
    with archives.opened(target) as archive:
        files = [entry.filename for entry in archive.infolist()]
    return sample.is_drawn(name for name in files if Path(name).suffix.lower() in SUFFIXES)


def replaced(before: str | None, after: str, *, was_here: bool, target: Path = ARCHIVE) -> str:
    """Say what the new archive took the place of; ``before`` and ``after`` are md5 digests."""
    pointer = tracked.pointer(target)
    if before is None:
        return ""
    if before == after:
        return f"the same faces as {pointer} recorded before"
    where = "" if was_here else ", which was not here"
    return (
        f"replaced the archive that {pointer} recorded, md5 {before}{where}; where that file was "
        f"committed, `git checkout -- {pointer} && dvc pull {target}` brings it back"
    )


def told(taken: Listing, params: Params) -> Iterator[str]:
    """Say what is odd about an archive: files left out, where splits are from, what is unreadable.

    Hidden files, which systems add by themselves, are not told of.
    """
    if taken.passed_over:
        named = ", ".join(f"{count} {name}" for name, count in sorted(taken.passed_over.items()))
        suffixes = ", ".join(sorted(SUFFIXES))
        yield (
            f"ignored: {sum(taken.passed_over.values())} files, {named}; images end in {suffixes}"
        )
    if taken.renamed:
        named = ", ".join(f"{name} is {split}" for name, split in sorted(taken.renamed.items()))
        yield f"splits by their folders: {named}"
    if taken.pooled:
        yield (
            f"no splits: {len(taken.pooled)} folders make one set, {_counts(taken.pooled)}; to "
            "keep one apart, say which split it is: data.split_folders in params.yaml"
        )
    if taken.unreadable:
        yield _unreadable(taken, params)


def _unreadable(taken: Listing, params: Params) -> str:
    name, why = next(iter(taken.unreadable.items()))
    share, most = len(taken.unreadable) / len(taken.members), params.rules["few_quarantined"]
    over = (
        f"; {share:.1%} is over rules.sets.few_quarantined.max_share {most['max_share']:g} of "
        "params.yaml"
    )
    return (
        f"unreadable: {len(taken.unreadable)} of {len(taken.members)} images "
        f"({_counts(Counter(map(dirname, taken.unreadable)))}), first {name!r}: {why}"
        f"{over if share > most['max_share'] else ''}"
    )


def _counts(folders: Mapping[str, int]) -> str:
    named = [f"{count} in {name!r}" for name, count in sorted(folders.items())]
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    return ", ".join(named[:NAMED]) + more
