"""Search the files of a checkout, DVC's cache and its remotes for a person's images."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from unveil.privacy import search, workspace
from unveil.privacy.dvc_objects import Store
from unveil.privacy.search import Person, SearchResult

PLAN = Path(".dvc/tmp/erase.json")
"""The plan of `unveil data erase`; the only file that is not searched."""
T = TypeVar("T")


@dataclass(frozen=True)
class SearchResults:
    """Where a person's images are: workspace files, and objects and other paths by store.

    ``unproved`` lists what could not be searched, or contains images and may not be deleted, each
    with the reason.
    """

    files: list[Path]
    objects: dict[str, list[str]]
    strays: dict[str, list[str]] = field(default_factory=dict)
    unproved: list[str] = field(default_factory=list)

    @property
    def identities(self) -> set[str]:
        """The ids of all objects found, in any store."""
        return {one for ones in self.objects.values() for one in ones}

    @property
    def places(self) -> list[str]:
        """Everything that has to be deleted."""
        strays = (one for ones in self.strays.values() for one in ones)
        return [*map(str, self.files), *sorted(self.identities), *strays]


def search_everywhere(person: Person, stores: list[Store]) -> SearchResults:
    """Search all objects of the stores and all files of the checkout."""
    results: dict[str, SearchResult] = {}
    found = SearchResults([], {})
    for store in stores:
        found.unproved.extend(store.unlisted())
        for identity in unsearched_objects(store, results):
            with store.file(identity) as path:
                results[identity] = search.search_file(path, person).for_file(
                    f"{store.name}: {identity}"
                )
            found.unproved.extend(results[identity].unsearched)
        matches = sorted(one for one in store.ids() if results[one].found)
        found.objects[store.name] = matches
        found.strays[store.name] = _strays(store, person, found.unproved)
    caches = [Path(store.root) for store in stores if store.name == "cache"]
    files = [*workspace.files(PLAN, *caches, unsearched=found.unproved)]
    for path in _with_progress(files, "files"):
        result = search_workspace_file(path, person)
        found.unproved.extend(result.unsearched)
        if result.found and workspace.is_deletable(path):
            found.files.append(path)
        elif result.found:
            found.unproved.append(f"{path}: contains the images and may not be deleted by unveil")
    return found


def _strays(store: Store, person: Person, unproved: list[str]) -> list[str]:
    matches = []
    for name in store.strays():
        with store.fetched(name) as path:
            result = search.search_file(path, person).for_file(name)
        if result.found or (result.unsearched and workspace.is_partial_copy(Path(name))):
            matches.append(name)
        else:
            unproved.extend(result.unsearched)
    return matches


def search_workspace_file(path: Path, person: Person) -> SearchResult:
    """Search a file of the checkout; an unreadable incomplete copy of DVC counts as found."""
    result = search.search_file(path, person, names=not workspace.is_project_file(path)).for_file(
        str(path)
    )
    if result.unsearched and workspace.is_partial_copy(path):
        return SearchResult(found=True)
    return result


def unsearched_objects(store: Store, seen: Collection[str]) -> Iterable[str]:
    """Return the objects of a store that were not searched yet."""
    return _with_progress(sorted(store.ids() - set(seen)), f"objects in {store.name}")


def _with_progress(all_of_them: list[T], what: str) -> Iterable[T]:
    """Iterate with a progress bar, which appears after two seconds."""
    return tqdm(all_of_them, desc="search", unit=f" {what}", delay=2)
