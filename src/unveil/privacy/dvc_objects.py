"""All objects in DVC's cache and on its remotes: list, read and delete them.

An object is identified by the md5 of its content in every store. Deleting it on S3 deletes all
versions that the bucket keeps of it.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unveil.common.errors import UserError, mask_secrets, reason
from unveil.common.files import temporary_folder

PAGE_SIZE = 1000
"""Versions of an object per response; the maximum of S3."""


STRAY = re.compile(r"/files/md5/.*|/[0-9a-f]{2}/.*|.*/\.[\w-]{22}\.tmp")
"""Paths in a store that belong to DVC: objects of DVC 3 and DVC 2, and incomplete copies."""


@dataclass(frozen=True)
class Store:
    """DVC's cache, or a remote with its name; ``may_be_absent`` if nothing was stored in it yet."""

    name: str
    database: Any
    may_be_absent: bool = False

    @property
    def root(self) -> str:
        """The location that is configured in DVC."""
        return str(self.database.path).removesuffix("/files/md5")

    def ids(self) -> set[str]:
        """Return the ids (md5) of the objects in the store; none if it cannot be listed."""
        database = self.database
        can_list = database.fs.CAN_TRAVERSE and database.fs.exists(database.path)
        return set(database.all()) if can_list else set()

    def unlisted(self) -> list[str]:
        """List the locations that do not exist or cannot be listed, each with the reason."""
        fs = self.database.fs
        if not fs.CAN_TRAVERSE:
            return [f"{self.name}: {fs.protocol} cannot list its objects"]
        try:
            if fs.protocol == "local":
                return [f"{self.name}: {one}" for one in self._unlisted_folders()]
            if fs.protocol == "s3":
                bucket, key, _ = fs.fs.split_path(self.root)
                fs.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
            else:
                fs.ls(self.root)
        except (FileNotFoundError, PermissionError) as error:
            return [f"{self.name}: {mask_secrets(self.root)} cannot be listed: {reason(error)}"]
        return []

    def _unlisted_folders(self) -> list[str]:
        if not os.path.lexists(self.root):
            missing = f"{self.root} does not exist; is its disk mounted?"
            return [] if self.may_be_absent else [missing]
        failed: list[OSError] = []
        for _ in os.walk(self.root, onerror=failed.append):
            pass
        return [f"{error.filename} cannot be listed: {reason(error).lower()}" for error in failed]

    @contextmanager
    def file(self, identity: str) -> Iterator[Path]:
        """Yield the path of an object; a downloaded copy is deleted when the block ends."""
        with self.fetched(self.database.oid_to_path(identity)) as path:
            yield path

    @contextmanager
    def fetched(self, source: str) -> Iterator[Path]:
        """Yield a local path of a file in the store; a download is deleted when the block ends."""
        if self.database.fs.protocol == "local":
            yield Path(source)
            return
        with temporary_folder("object") as folder:
            self.database.fs.get_file(source, str(folder / "object"))
            yield folder / "object"

    def strays(self) -> list[str]:
        """List files among the objects that are none: incomplete copies, and those of DVC 2."""
        fs, root = self.database.fs, self.root
        if not fs.CAN_TRAVERSE or not fs.exists(root):
            return []
        objects = {self.database.oid_to_path(identity) for identity in self.ids()}
        found = [one for one in fs.find(root) if one not in objects]
        return [one for one in found if STRAY.fullmatch(one[len(root) :])]

    def remove(self, path: str) -> None:
        """Delete a file by its path, on S3 with all its versions."""
        if self.database.fs.protocol == "s3":
            _delete_versions(self.database.fs.fs, path)
        elif self.database.fs.exists(path):
            self.database.fs.remove(path)

    def delete(self, identities: Iterable[str]) -> None:
        """Delete objects that exist, on S3 with all their versions."""
        from dvc_data.hashfile.db import get_index

        if not self.database.fs.CAN_TRAVERSE:
            return
        for identity in identities:
            self.remove(self.database.oid_to_path(identity))
        # DVC caches which folders are on a remote, and would not push them again.
        get_index(self.database).clear()


def _delete_versions(s3: Any, path: str) -> None:
    bucket, key, _ = s3.split_path(path)
    for version in list(_object_versions(s3, bucket, key)):
        s3.call_s3("delete_object", Bucket=bucket, Key=key, VersionId=version["VersionId"])
    s3.invalidate_cache()


def _object_versions(s3: Any, bucket: str, key: str) -> Iterator[dict[str, Any]]:
    """Yield all versions and delete markers of an object, page by page."""
    after: dict[str, str] = {}
    while True:
        request = {"Bucket": bucket, "Prefix": key, "MaxKeys": PAGE_SIZE, **after}
        page = s3.call_s3("list_object_versions", **request)
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        # Other keys may start with the same name: DVC adds `.dir` for a folder.
        yield from (one for one in found if one["Key"] == key)
        if not page.get("IsTruncated"):
            return
        after = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}


def cache_folder() -> Path:
    """Return the configured folder of DVC's cache."""
    from dvc.repo import Repo

    with Repo() as repo:
        return Path(repo.cache.local_cache_dir)


@contextmanager
def open_stores() -> Iterator[list[Store]]:
    """Open the cache and all remotes under DVC's lock; ``UserError`` names one that fails."""
    from dvc.repo import Repo, lock_repo

    from unveil.storage.client import DVC_TIMEOUTS

    os.environ.setdefault("AWS_MAX_ATTEMPTS", "1")
    place = "this folder"
    try:
        with Repo() as plain:
            patience = {
                name: DVC_TIMEOUTS
                for name, own in plain.config["remote"].items()
                if str(own.get("url", "")).startswith("s3:")
            }
        with Repo(config={"remote": patience}) as repo, lock_repo(repo):
            default = "dir" not in repo.config["cache"] and "local" not in repo.config["cache"]
            found = [Store("cache", repo.cache.local, may_be_absent=default)]
            for place in repo.config["remote"]:
                found.append(Store(place, repo.cloud.get_remote_odb(place)))
                found[-1].ids()
            place = "its cache or a remote"
            yield found
    except UserError:
        raise
    except Exception as error:  # each type of remote raises its own exceptions
        raise UserError(f"DVC, {place}: {reason(error)}") from error
