"""Every version of every file that DVC keeps: in the cache, and on each remote.

An object is known by the md5 of its content, wherever it lies. `unveil data erase` reads and
deletes through it; on S3 that means all versions a bucket keeps of an object.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unveil.errors import UserError, masked, reason
from unveil.files import temporary

S3_PATIENCE = {"connect_timeout": 10, "read_timeout": 20}
"""Seconds, each tried six times."""
PAGE = 1000
"""Versions of an object in one answer, the most that S3 gives."""


STRAY = re.compile(r"/files/md5/.*|/[0-9a-f]{2}/.*|.*/\.[\w-]{22}\.tmp")
"""Paths of a store that are DVC's, of now, of its second version, and those it did not complete."""


@dataclass(frozen=True)
class Store:
    """The cache, or a remote by its name; ``may_be_absent`` where nothing was kept in it yet."""

    name: str
    database: Any
    may_be_absent: bool = False

    @property
    def root(self) -> str:
        """Name the place that DVC was given for it."""
        return str(self.database.path).removesuffix("/files/md5")

    def ids(self) -> set[str]:
        """Name the objects that are there now, as far as they can be listed."""
        database = self.database
        there = database.fs.CAN_TRAVERSE and database.fs.exists(database.path)
        return set(database.all()) if there else set()

    def unlisted(self) -> list[str]:
        """Say of what is not there, or gives no list, why it was not looked into."""
        fs = self.database.fs
        if not fs.CAN_TRAVERSE:
            return [f"{self.name}: {fs.protocol} gives no list of what is there"]
        try:
            if fs.protocol == "local":
                return [f"{self.name}: {one}" for one in self._unlisted_folders()]
            if fs.protocol == "s3":
                bucket, key, _ = fs.fs.split_path(self.root)
                fs.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
            else:
                fs.ls(self.root)
        except (FileNotFoundError, PermissionError) as error:
            return [f"{self.name}: {masked(self.root)} cannot be listed: {reason(error)}"]
        return []

    def _unlisted_folders(self) -> list[str]:
        if not os.path.lexists(self.root):
            return [] if self.may_be_absent else [f"{self.root} is not there; is its disk mounted?"]
        failed: list[OSError] = []
        for _ in os.walk(self.root, onerror=failed.append):
            pass
        return [f"{error.filename} cannot be listed: {reason(error).lower()}" for error in failed]

    @contextmanager
    def file(self, identity: str) -> Iterator[Path]:
        """Give an object as a file to read; what is fetched for it is removed again."""
        with self.fetched(self.database.oid_to_path(identity)) as path:
            yield path

    @contextmanager
    def fetched(self, source: str) -> Iterator[Path]:
        """Give what lies at a path of the store as a file to read."""
        if self.database.fs.protocol == "local":
            yield Path(source)
            return
        with temporary("object") as folder:
            self.database.fs.get_file(source, str(folder / "object"))
            yield folder / "object"

    def strays(self) -> list[str]:
        """List what lies where objects do and is none: half copied, or of an older DVC."""
        fs, root = self.database.fs, self.root
        if not fs.CAN_TRAVERSE or not fs.exists(root):
            return []
        objects = {self.database.oid_to_path(identity) for identity in self.ids()}
        found = [one for one in fs.find(root) if one not in objects]
        return [one for one in found if STRAY.fullmatch(one[len(root) :])]

    def remove(self, path: str) -> None:
        """Delete what lies at a path, on S3 with all its versions."""
        if self.database.fs.protocol == "s3":
            _delete_versions(self.database.fs.fs, path)
        elif self.database.fs.exists(path):
            self.database.fs.remove(path)

    def delete(self, identities: Iterable[str]) -> None:
        """Delete objects, those that are there; on S3 with all their versions."""
        from dvc_data.hashfile.db import get_index

        if not self.database.fs.CAN_TRAVERSE:
            return
        for identity in identities:
            self.remove(self.database.oid_to_path(identity))
        # DVC remembers which folders are on a remote, and would not push them again.
        get_index(self.database).clear()


def _delete_versions(s3: Any, path: str) -> None:
    bucket, key, _ = s3.split_path(path)
    for version in list(_versions(s3, bucket, key)):
        s3.call_s3("delete_object", Bucket=bucket, Key=key, VersionId=version["VersionId"])
    s3.invalidate_cache()


def _versions(s3: Any, bucket: str, key: str) -> Iterator[dict[str, Any]]:
    """Give all versions of an object, and the marks that hide it, page by page."""
    after: dict[str, str] = {}
    while True:
        asked = {"Bucket": bucket, "Prefix": key, "MaxKeys": PAGE, **after}
        page = s3.call_s3("list_object_versions", **asked)
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        # Other objects may begin with the same name: DVC adds `.dir` to a folder's.
        yield from (one for one in found if one["Key"] == key)
        if not page.get("IsTruncated"):
            return
        after = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}


def cache() -> Path:
    """Name the folder of DVC's cache, wherever it was put."""
    from dvc.repo import Repo

    with Repo() as repo:
        return Path(repo.cache.local_cache_dir)


@contextmanager
def stores() -> Iterator[list[Store]]:
    """Open the cache and all remotes, with DVC's lock; ``UserError`` names what does not answer."""
    from dvc.repo import Repo, lock_repo

    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
    place = "this folder"
    try:
        with Repo() as plain:
            patience = {
                name: S3_PATIENCE
                for name, own in plain.config["remote"].items()
                if str(own.get("url", "")).startswith("s3:")
            }
        with Repo(config={"remote": patience}) as repo, lock_repo(repo):
            own = "dir" not in repo.config["cache"] and "local" not in repo.config["cache"]
            found = [Store("cache", repo.cache.local, may_be_absent=own)]
            for place in repo.config["remote"]:
                found.append(Store(place, repo.cloud.get_remote_odb(place)))
                found[-1].ids()
            place = "its cache or a remote"
            yield found
    except UserError:
        raise
    except Exception as error:  # each kind of remote has its own
        raise UserError(f"DVC, {place}: {reason(error)}") from error
