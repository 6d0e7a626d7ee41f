"""The verbs of dvc.yaml's stages, and those before and after them."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.common import backend
from unveil.common.errors import UserError

if TYPE_CHECKING:
    from unveil.config.params import Params

app = typer.Typer()

Architecture = Annotated[str, typer.Argument(help="A key of `architectures` in params.yaml.")]


@app.command()
def sample() -> None:
    """Draw the embedded sample of synthetic faces and make it the raw data."""
    from unveil.common import audit_log
    from unveil.common.files import temporary
    from unveil.common.paths import ARCHIVE
    from unveil.config import params
    from unveil.config.provenance import dvc_hash
    from unveil.data import ingest as ingests
    from unveil.data import ingest_checks, manifest
    from unveil.data import synthetic as samples

    loaded = params.load()
    ingest_checks.refuse_replaced_by_drawings()
    with temporary("sample") as folder:
        drawn = folder / "sample.zip"
        samples.draw(drawn, counts=loaded.sample, seed=loaded.data.seed)
        ingests.ingest(drawn, layout=manifest.layout(loaded))
    ingests.track()
    audit_log.record("sample", archive=dvc_hash(ARCHIVE), images=sum(loaded.sample.values()))
    print("drew synthetic faces into data/01_raw/faces.zip")


@app.command()
def ingest(
    source: Annotated[Path, typer.Argument(help="A zip, a folder, or a fer2013.csv.")],
    attributes: Annotated[
        Path | None, typer.Option(help="A CSV with a column `file` and the groups you know.")
    ] = None,
) -> None:
    """Make SOURCE the raw data, under DVC."""
    from unveil.common import audit_log, missing_files
    from unveil.common.paths import ARCHIVE
    from unveil.config import params
    from unveil.config.provenance import dvc_hash
    from unveil.data import ingest as ingests
    from unveil.data import ingest_checks, manifest

    loaded = params.load()
    before, was_here = missing_files.recorded(ARCHIVE), ARCHIVE.exists()
    layout, limits = manifest.layout(loaded), manifest.limits(loaded.data)
    listing = ingests.ingest(source, layout=layout, attributes=attributes, limits=limits)
    ingests.track()
    counts = {"images": len(listing.members), "dropped": sum(listing.dropped.values())}
    digest = dvc_hash(ARCHIVE)
    audit_log.record("ingest", archive=digest, **counts)
    dropped = ", ".join(f"{count} {name}" for name, count in listing.dropped.items())
    print(f"{len(listing.members)} faces into data/01_raw/faces.zip; dropped: {dropped or 'none'}")
    if said := ingest_checks.replaced(before, digest, was_here=was_here):
        print(said)
    for line in ingest_checks.told(listing, loaded):
        print(line, file=sys.stderr)
    print("keep this version: git add data/01_raw/faces.zip.dvc data/journal.jsonl && git commit")


@app.command()
def manifest() -> None:
    """List every face of the archive, what is measured and what is wrong with it."""
    from unveil.common.files import existing, read_json
    from unveil.common.paths import ARCHIVE, MANIFEST, SUMMARY
    from unveil.config import params
    from unveil.data import manifest as manifests

    loaded = params.load()
    source = existing(ARCHIVE, made_by="unveil ingest SOURCE` or `unveil sample")
    manifests.make(source, loaded)
    summary = read_json(SUMMARY, made_by="unveil manifest")
    print(f"{MANIFEST}: {summary['images']} faces, quarantined {summary['quarantined'] or 'none'}")
    for kind in ("exact", "near"):
        twins = summary[f"{kind}_twins"]
        print(
            f"{kind} twins: {twins['groups']} groups, {twins['across_splits']} across splits, "
            f"{twins['with_two_labels']} with two labels"
        )


@app.command()
def validate() -> None:
    """Judge the manifest by every rule; fails when one whose policy is not warn is broken."""
    from unveil.common.paths import DATA_DOCS, MANIFEST
    from unveil.config import params
    from unveil.quality import validate as validates

    verdict = validates.validate(MANIFEST, params.load())
    rules, see = verdict["rules"], f"see {DATA_DOCS}/index.html"
    counts = Counter(rule["status"] for rule in rules)
    for rule in rules:
        if rule["status"] in ("broken", "warned"):
            print(validates.told(rule), file=sys.stderr)
    if not verdict["passed"]:
        raise UserError(f"the data broke {counts['broken']} of {len(rules)} rules; {see}")
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    print(f"the data passed {len(rules)} rules ({told}); {see}")


@app.command()
def pack() -> None:
    """Pack the faces of each split into arrays."""
    from unveil.common.paths import ARCHIVE, MANIFEST, PACKED, VERDICT
    from unveil.config import params
    from unveil.data import pack as packs

    counts = packs.make(ARCHIVE, MANIFEST, params.load(), validation=VERDICT)
    print(f"{PACKED}: " + ", ".join(f"{count} faces in {name}" for name, count in counts.items()))


def _ready_for(architecture: str) -> "Params":
    from unveil.config import params

    loaded = params.load()
    loaded.named(architecture)
    backend.load()
    return loaded


@app.command()
def train(
    architecture: Architecture,
    count: Annotated[int, typer.Option("--seeds", min=1, help="How many trainings.")] = 1,
) -> None:
    """Train one architecture in two stages; killed and run again, it goes on where it was.

    With --seeds N it is trained, evaluated and told to MLflow N times, with training.seed of the
    recipe and those after it. The first is the pipeline's own, data/04_models/ARCH; it is trained
    only where that is not as params.yaml, data, code and processor have it now. The others lie in
    data/09_seeds/ARCH/SEED, which no stage of dvc.yaml knows, and are kept for as long. Mean and
    spread of the test macro-F1, and that of their mean answer, are written to
    data/05_reports/seeds/ARCH.json.
    """
    loaded = _ready_for(architecture)

    from unveil.export import onnx_conversion

    entry, size = loaded.architectures[architecture], loaded.data.image_size
    onnx_conversion.require_exportable(entry, size, len(loaded.classes))
    if count > 1:
        from unveil.experiments import seeds

        print(seeds.table(seeds.train(architecture, loaded, count)))
        return

    from unveil.experiments import tracked_training

    trained = tracked_training.train(architecture, loaded)
    best = trained.history["val_macro_f1"].max()
    print(f"{architecture}: best validation macro-F1 {best:.4f} of {len(trained.history)} epochs")


@app.command()
def evaluate(architecture: Architecture) -> None:
    """Measure one trained architecture on all splits."""
    loaded = _ready_for(architecture)

    from unveil.experiments import tracked_training

    metrics = tracked_training.evaluate(architecture, loaded)
    test = metrics["test"]["macro_f1"]
    print(
        f"{architecture}: test macro-F1 {test['value']:.4f} "
        f"[{test['low']:.4f}, {test['high']:.4f}], n = {metrics['test']['images']}"
    )
    sure, worst = metrics["calibration"], metrics["slices"]["worst"]
    held = f"the surest {sure['coverage']:.0%} are answered, {sure['risk']:.1%} of them wrongly"
    print(f"{architecture}: {held}; under {sure['abstain_below']:.3f} it is unsure")
    if not sure["target_kept"]:
        print(f"{architecture}: no threshold keeps the errors under {sure['target_risk']:.0%}")
    if worst:
        value, name = worst["macro_f1"]["value"], f"{worst['dimension']}={worst['name']}"
        print(f"{architecture}: worst slice {name}, macro-F1 {value:.4f}, n = {worst['images']}")


@app.command()
def publish() -> None:
    """Tell MLflow what it does not know yet of the trained architectures."""
    from unveil.common import missing_files
    from unveil.common.paths import MODELS
    from unveil.config import params

    loaded = params.load()
    runs = {key: MODELS / key / "run.json" for key in loaded.architectures}
    trained = [key for key, path in runs.items() if path.exists()]
    for said in filter(None, map(missing_files.lost, runs.values())):
        print(f"not told to MLflow: {said}", file=sys.stderr)
    backend.load()

    from unveil import registry

    told = []
    for key in trained:
        try:
            registry.publish(key)
            told.append(key)
        except UserError as error:
            print(f"{key}: {error}", file=sys.stderr)
    print(f"MLflow has {len(told)} trainings: {', '.join(told) or 'none'}")
    if told != trained:
        raise typer.Exit(2)
