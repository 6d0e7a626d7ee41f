"""unveil data: inspect, correct, export and erase images."""

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli import data_export, erase, feedback
from unveil.cli.commands import App

app = App(help="Inspect, correct, export and erase images.", no_args_is_help=True)
app.add_typer(erase.app)
app.add_typer(data_export.app)
app.add_typer(feedback.app)


@app.command()
def audit() -> None:
    """List images with probable label errors.

    Writes a list of suspects for `unveil data review` and a contact sheet of them.
    """
    from unveil.common.files import require_path
    from unveil.common.paths import ARCHIVE, AUDIT_COUNTS, CONTACT_SHEET, MANIFEST, SUSPECTS
    from unveil.config import params
    from unveil.quality.label_noise import audit as audits

    source = require_path(ARCHIVE, made_by="unveil ingest SOURCE` or `unveil sample")
    audited = audits.audit(source, MANIFEST, params.load())
    print(f"{SUSPECTS}: {audited.suspects} of {audited.faces} labels may be wrong")
    print(
        f"{CONTACT_SHEET}: the first {audited.shown}; review them, then `unveil data review FILE`"
    )
    print(f"{AUDIT_COUNTS}: the counts; `dvc repro card` adds them to the data sheet")


@app.command()
def review(
    file: Annotated[
        Path, typer.Argument(help="The list of suspects (CSV) with the column `action` filled in.")
    ],
) -> None:
    """Save reviewed label corrections.

    Reads the actions (relabel, drop or keep) from FILE and adds them to
    data/01_raw/corrections.csv.
    """
    from unveil.common.files import read_parquet
    from unveil.common.paths import CORRECTIONS, MANIFEST
    from unveil.config import params
    from unveil.data import corrections

    loaded = params.load()
    faces = read_parquet(MANIFEST, made_by="unveil manifest")
    taken = corrections.review(file, faces, loaded.classes)
    print(f"{CORRECTIONS}: " + ", ".join(f"{count} {name}" for name, count in taken.items()))
    print("apply and commit them: dvc repro && git add data dvc.lock && git commit")


@app.command()
def diff(
    revision: Annotated[
        str, typer.Argument(metavar="REV", help="Git commit, tag or branch to compare with.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare the dataset with an earlier revision.

    Reports added, removed and changed images, label counts and distribution shifts since REV.
    """
    import json

    from unveil.quality import version_diff

    found = version_diff.diff(revision)
    print(json.dumps(found, indent=2) if as_json else version_diff.format_table(found))


@app.command()
def card() -> None:
    """Write the data sheet: source, contents and limits.

    The file is data/05_reports/data_card.md.
    """
    from unveil.common.paths import DATA_CARD
    from unveil.config import params
    from unveil.quality import datasheet as cards

    cards.make(params.load())
    print(f"{DATA_CARD} and its plots are written")
