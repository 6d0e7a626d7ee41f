"""Where DVC keeps the versions: its default remote, in `.dvc/config` for everyone.

Takes a place on S3; writes its URL, endpoint and region, and never a credential. Those come from
the environment, a profile, or `.dvc/config.local`, which git does not see.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unveil.common.errors import UserError
from unveil.common.files import existing, replacing
from unveil.storage import Place

CONFIG = Path(".dvc/config")
NAME = "store"
SECRETS = ("access_key_id", "secret_access_key", "session_token", "sse_customer_key")


def settings(url: str) -> dict[str, str]:
    """Give what DVC has of the remote at ``url``: endpoint, region, credentials, from all levels.

    Raises:
        UserError: a credential stands where git would keep it.
    """
    shared, merged = _config().read("repo"), _config().read()
    for name, own in shared["remote"].items():
        if found := [key for key in SECRETS if key in own]:
            fix = f"dvc remote modify --local {name} {found[0]} ..."
            raise UserError(f"{CONFIG} is in git and holds {', '.join(found)}; move it: {fix}")
    name = _name(merged, url)
    own = dict(merged["remote"].get(name, {}))
    # What was said of another place holds for that place, except for the keys.
    if own.get("url", url) != url:
        own = {key: value for key, value in own.items() if key in (*SECRETS, "profile")}
    return own


def make_default(place: Place) -> list[str]:
    """Make a place the default remote; gives what was done, a line for each thing."""
    name = _name(_config().read(), place.url)
    before = existing(CONFIG, made_by="dvc init").read_bytes()
    with replacing(CONFIG) as path:
        shutil.copy(CONFIG, path)
        replaced = _edit(path, name, place)
        after = path.read_bytes()
    said = [f"DVC: the default remote is {name}, {place.url}{replaced}"]
    if after != before:
        said.append(f"keep it: git add {CONFIG} && git commit")
    return said + _shadowed(name, place)


def _edit(path: Path, name: str, place: Place) -> str:
    with _told(), _config(path.parent).edit("repo") as content:
        before = content["remote"].get(name, {})
        own = before if before.get("url") == place.url else {}
        # Without verify a damaged object is kept under the hash it should have.
        own |= {"url": place.url, "verify": "true"}
        own |= {"endpointurl": place.endpoint} if place.endpoint else {}
        own |= {"region": place.region} if place.region else {}
        content["remote"][name], content["core"]["remote"] = own, name
    replaced: str = before.get("url", place.url)
    return "" if replaced == place.url else f" in place of {replaced}"


def _shadowed(name: str, place: Place) -> list[str]:
    merged = _config().read()
    own = merged["remote"][name]
    wanted: dict[str, tuple[Any, Any]] = {
        "the default remote": (merged["core"]["remote"], name),
        "url": (own["url"], place.url),
        "endpointurl": (own.get("endpointurl"), place.endpoint),
        "verify": (own["verify"], "true"),
    }
    differ = {key: found for key, (found, asked) in wanted.items() if str(found) != str(asked)}
    return [f"DIFFERS here, by .dvc/config.local: {key} is {differ[key]}" for key in differ]


def _name(merged: Mapping[str, Any], url: str) -> str:
    same = [name for name, own in merged["remote"].items() if own.get("url") == url]
    default = merged["core"].get("remote")
    return default if default in same else next(iter(same), NAME)


def _config(folder: Path = CONFIG.parent) -> Any:
    from dvc.config import Config

    existing(folder / CONFIG.name, made_by="dvc init")
    with _told():
        # As it stands: a remote may have its keys before it has its URL.
        return Config(str(folder.resolve()), validate=False)


@contextmanager
def _told() -> Iterator[None]:
    from dvc.exceptions import DvcException

    try:
        yield
    except DvcException as error:
        raise UserError(f"DVC: {' '.join(str(error).split())[:300]}") from error
