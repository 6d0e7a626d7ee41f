"""unveil data: what one looks at, and does, about the faces themselves."""

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli import erase, feedback, takeout

app = typer.Typer(help="Look after the faces.", no_args_is_help=True)
app.add_typer(erase.app)
app.add_typer(takeout.app)
app.add_typer(feedback.app)


@app.command()
def audit() -> None:
    """List the faces whose labels are most to be doubted, with a contact sheet to look at."""
    from unveil.common.files import existing
    from unveil.common.paths import ARCHIVE, AUDITED, MANIFEST, SHEET, SUSPECTS
    from unveil.config import params
    from unveil.quality.label_noise import audit as audits

    source = existing(ARCHIVE, made_by="unveil ingest SOURCE` or `unveil sample")
    audited = audits.audit(source, MANIFEST, params.load())
    print(f"{SUSPECTS}: {audited.suspects} of {audited.faces} labels may be wrong")
    print(f"{SHEET}: the first {audited.shown}; open it, decide, then `unveil data review FILE`")
    print(f"{AUDITED}: the counts, which `dvc repro card` takes into the data sheet")


@app.command()
def review(
    file: Annotated[Path, typer.Argument(help="A list of suspects with actions filled in.")],
) -> None:
    """Take a person's decisions (relabel, drop, keep) into data/01_raw/corrections.csv."""
    from unveil.common.files import read_parquet
    from unveil.common.paths import CORRECTIONS, MANIFEST
    from unveil.config import params
    from unveil.data import corrections

    loaded = params.load()
    faces = read_parquet(MANIFEST, made_by="unveil manifest")
    taken = corrections.review(file, faces, loaded.classes)
    print(f"{CORRECTIONS}: " + ", ".join(f"{count} {name}" for name, count in taken.items()))
    print("apply and keep them: dvc repro && git add data dvc.lock && git commit")


@app.command()
def diff(
    revision: Annotated[str, typer.Argument(metavar="REV", help="A commit, tag or branch.")],
    as_json: Annotated[bool, typer.Option("--json", help="All of it, for a program.")] = False,
) -> None:
    """Say what became of the faces since REV: counts, distributions, changed images."""
    import json

    from unveil.quality import version_diff

    found = version_diff.diff(revision)
    print(json.dumps(found, indent=2) if as_json else version_diff.table(found))


@app.command()
def card() -> None:
    """Write the data sheet: where the faces are from, what they are, what to beware of."""
    from unveil.common.paths import CARD
    from unveil.config import params
    from unveil.quality import datasheet as cards

    cards.make(params.load())
    print(f"{CARD} and its plots are written")
