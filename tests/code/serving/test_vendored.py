"""Vendored files of the page are unchanged and complete, with their licence."""

import re
from pathlib import Path

from unveil.common.files import read_json, sha256
from unveil.serving.app import PAGE

MOST = 20_000_000  # bytes


def test_vendored_files_match_their_manifest():
    manifest = read_json(PAGE / "vendored.json", made_by="hand")
    named = {
        Path(package, name).as_posix(): digest
        for package, about in manifest.items()
        for name, digest in about["sha256"].items()
    }
    files = [path for path in (PAGE / "vendor").rglob("*") if path.is_file()]
    found = {path.relative_to(PAGE / "vendor").as_posix(): sha256(path) for path in files}
    assert found == named
    assert sum(path.stat().st_size for path in files) < MOST
    for package, about in manifest.items():
        assert (PAGE / "vendor" / package / "LICENSE").exists()
        scripts = [path for path in (PAGE / "vendor" / package).iterdir() if "js" in path.suffix]
        assert any(about["version"] in path.read_text() for path in scripts)


def test_the_page_loads_nothing_from_other_hosts():
    for path in (path for path in PAGE.iterdir() if path.suffix in {".html", ".css", ".js"}):
        text = path.read_text()
        assert "<script>" not in text
        assert "style=" not in text
        named = set(re.findall(r"(?:https?|wss?):?//([^\s/\"'`<]+)|[\"'(]//([^\s/\"'`)]+)", text))
        # From examples; the third is a reserved domain (RFC 2606, section 3).
        allowed = {"SERVER", "YOUR-PAGE", "example.org:8000"}
        assert {"".join(host) for host in named} <= allowed, path
