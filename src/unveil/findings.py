"""Where somebody is: in the files of a checkout, in DVC's cache and on its remotes."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from unveil import search, workspace
from unveil.objects import Store
from unveil.search import Person, Verdict

PLAN = Path(".dvc/tmp/erase.json")
"""Whom `unveil data erase` looks for: the one file that is left out."""
T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """Where somebody is: files of the workspace, objects and other paths by store.

    ``unproved`` is what was not looked into, or holds somebody and is not to be deleted by us, each
    with the reason.
    """

    files: list[Path]
    objects: dict[str, list[str]]
    strays: dict[str, list[str]] = field(default_factory=dict)
    unproved: list[str] = field(default_factory=list)

    @property
    def identities(self) -> set[str]:
        """Name the objects, wherever they are."""
        return {one for ones in self.objects.values() for one in ones}

    @property
    def places(self) -> list[str]:
        """Name all that is to be deleted."""
        strays = (one for ones in self.strays.values() for one in ones)
        return [*map(str, self.files), *sorted(self.identities), *strays]


def find(person: Person, stores: list[Store]) -> Found:
    """Look through all objects of the stores and all files of the checkout."""
    verdicts: dict[str, Verdict] = {}
    found = Found([], {})
    for store in stores:
        found.unproved.extend(store.unlisted())
        for identity in unseen(store, verdicts):
            with store.file(identity) as path:
                verdicts[identity] = search.inspect(path, person).of(f"{store.name}: {identity}")
            found.unproved.extend(verdicts[identity].unread)
        held = sorted(one for one in store.ids() if verdicts[one].held)
        found.objects[store.name] = held
        found.strays[store.name] = _strays(store, person, found.unproved)
    caches = [Path(store.root) for store in stores if store.name == "cache"]
    for path in _shown([*workspace.files(PLAN, *caches, unread=found.unproved)], "files"):
        verdict = look(path, person)
        found.unproved.extend(verdict.unread)
        if verdict.held and workspace.is_ours(path):
            found.files.append(path)
        elif verdict.held:
            found.unproved.append(f"{path}: holds it and is not unveil's to delete")
    return found


def _strays(store: Store, person: Person, unproved: list[str]) -> list[str]:
    held = []
    for name in store.strays():
        with store.fetched(name) as path:
            verdict = search.inspect(path, person).of(name)
        if verdict.held or (verdict.unread and workspace.is_half_copied(Path(name))):
            held.append(name)
        else:
            unproved.extend(verdict.unread)
    return held


def look(path: Path, person: Person) -> Verdict:
    """Look into a file of the checkout; what DVC did not copy whole goes unless it can be read."""
    verdict = search.inspect(path, person, names=not workspace.is_code(path)).of(str(path))
    if verdict.unread and workspace.is_half_copied(path):
        return Verdict(held=True)
    return verdict


def unseen(store: Store, seen: Collection[str]) -> Iterable[str]:
    """Give the objects of a store that were not seen yet."""
    return _shown(sorted(store.ids() - set(seen)), f"objects in {store.name}")


def _shown(all_of_them: list[T], what: str) -> Iterable[T]:
    """Give them one after the other, and show how far one is where it takes long."""
    return tqdm(all_of_them, desc="search", unit=f" {what}", delay=2)
