"""DVC's default remote in `.dvc/config`, which is shared through git.

Writes URL, endpoint and region of an S3 location, but never credentials. Those come from the
environment, a profile, or `.dvc/config.local`, which git ignores.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unveil.common.errors import UserError
from unveil.common.files import atomic_write, require_path
from unveil.storage import StorageLocation

CONFIG = Path(".dvc/config")
NAME = "store"
SECRETS = ("access_key_id", "secret_access_key", "session_token", "sse_customer_key")


def settings(url: str) -> dict[str, str]:
    """Return DVC's settings of the remote at ``url``: endpoint, region, credentials, of all levels.

    Raises:
        UserError: a credential is in ``.dvc/config``, which is in git.
    """
    shared, merged = _config().read("repo"), _config().read()
    for name, own in shared["remote"].items():
        if found := [key for key in SECRETS if key in own]:
            fix = f"dvc remote modify --local {name} {found[0]} ..."
            raise UserError(f"{CONFIG} is in git and holds {', '.join(found)}; move it: {fix}")
    name = _name(merged, url)
    own = dict(merged["remote"].get(name, {}))
    # Settings of another URL are for that URL, except for the credentials.
    if own.get("url", url) != url:
        own = {key: value for key, value in own.items() if key in (*SECRETS, "profile")}
    return own


def make_default(location: StorageLocation) -> list[str]:
    """Make a location DVC's default remote; return a line for each step."""
    name = _name(_config().read(), location.url)
    before = require_path(CONFIG, made_by="dvc init").read_bytes()
    with atomic_write(CONFIG) as path:
        shutil.copy(CONFIG, path)
        replaced = _edit(path, name, location)
        after = path.read_bytes()
    lines = [f"DVC: the default remote is {name}, {location.url}{replaced}"]
    if after != before:
        lines.append(f"keep it: git add {CONFIG} && git commit")
    return lines + _overridden(name, location)


def _edit(path: Path, name: str, location: StorageLocation) -> str:
    with _dvc_errors(), _config(path.parent).edit("repo") as content:
        before = content["remote"].get(name, {})
        own = before if before.get("url") == location.url else {}
        # Without verify DVC would cache a damaged object under the expected hash.
        own |= {"url": location.url, "verify": "true"}
        own |= {"endpointurl": location.endpoint} if location.endpoint else {}
        own |= {"region": location.region} if location.region else {}
        content["remote"][name], content["core"]["remote"] = own, name
    replaced: str = before.get("url", location.url)
    return "" if replaced == location.url else f" in place of {replaced}"


def _overridden(name: str, location: StorageLocation) -> list[str]:
    merged = _config().read()
    own = merged["remote"][name]
    wanted: dict[str, tuple[Any, Any]] = {
        "the default remote": (merged["core"]["remote"], name),
        "url": (own["url"], location.url),
        "endpointurl": (own.get("endpointurl"), location.endpoint),
        "verify": (own["verify"], "true"),
    }
    differ = {
        key: actual for key, (actual, expected) in wanted.items() if str(actual) != str(expected)
    }
    return [f"DIFFERS here, by .dvc/config.local: {key} is {differ[key]}" for key in differ]


def _name(merged: Mapping[str, Any], url: str) -> str:
    same = [name for name, own in merged["remote"].items() if own.get("url") == url]
    default = merged["core"].get("remote")
    return default if default in same else next(iter(same), NAME)


def _config(folder: Path = CONFIG.parent) -> Any:
    from dvc.config import Config

    require_path(folder / CONFIG.name, made_by="dvc init")
    with _dvc_errors():
        # Not validated: a remote may have credentials before it has a URL.
        return Config(str(folder.resolve()), validate=False)


@contextmanager
def _dvc_errors() -> Iterator[None]:
    from dvc.exceptions import DvcException

    try:
        yield
    except DvcException as error:
        raise UserError(f"DVC: {' '.join(str(error).split())[:300]}") from error
