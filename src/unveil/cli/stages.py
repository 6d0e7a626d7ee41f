"""unveil sample, ingest, manifest, validate, pack, train, evaluate, publish: pipeline stages."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.commands import App
from unveil.common import backend
from unveil.common.errors import UserError

if TYPE_CHECKING:
    from unveil.config.params import Params

app = App()

Architecture = Annotated[str, typer.Argument(help="A key of `architectures` in params.yaml.")]


@app.command()
def sample() -> None:
    """Generate synthetic faces and use them as the raw data.

    Writes data/01_raw/faces.zip. It does not replace real images.
    """
    from unveil.common import audit_log
    from unveil.common.files import temporary_folder
    from unveil.common.paths import ARCHIVE
    from unveil.config import params
    from unveil.config.provenance import dvc_hash
    from unveil.data import ingest as ingests
    from unveil.data import ingest_checks, manifest
    from unveil.data import synthetic as samples

    loaded = params.load()
    ingest_checks.refuse_to_replace_with_synthetic()
    with temporary_folder("sample") as folder:
        drawn = folder / "sample.zip"
        samples.draw_dataset(drawn, counts=loaded.sample, seed=loaded.data.seed)
        ingests.ingest(drawn, layout=manifest.archive_layout(loaded))
    ingests.track_with_dvc()
    audit_log.record("sample", archive=dvc_hash(ARCHIVE), images=sum(loaded.sample.values()))
    print("wrote synthetic faces to data/01_raw/faces.zip")


@app.command()
def ingest(
    source: Annotated[
        Path, typer.Argument(help="Images to import: a zip file, a folder, or fer2013.csv.")
    ],
    attributes: Annotated[
        Path | None,
        typer.Option(help="A CSV file with a column `file` and known attributes of the people."),
    ] = None,
) -> None:
    """Import images as the raw data and track them with DVC.

    Writes data/01_raw/faces.zip and its .dvc file.
    """
    from unveil.common import audit_log, missing_files
    from unveil.common.paths import ARCHIVE
    from unveil.config import params
    from unveil.config.provenance import dvc_hash
    from unveil.data import ingest as ingests
    from unveil.data import ingest_checks, manifest

    loaded = params.load()
    before, was_here = missing_files.recorded_md5(ARCHIVE), ARCHIVE.exists()
    layout, limits = manifest.archive_layout(loaded), manifest.decoding_limits(loaded.data)
    listing = ingests.ingest(source, layout=layout, attributes=attributes, limits=limits)
    ingests.track_with_dvc()
    counts = {"images": len(listing.members), "dropped": sum(listing.dropped.values())}
    digest = dvc_hash(ARCHIVE)
    audit_log.record("ingest", archive=digest, **counts)
    dropped = ", ".join(f"{count} {name}" for name, count in listing.dropped.items())
    print(f"{len(listing.members)} faces into data/01_raw/faces.zip; dropped: {dropped or 'none'}")
    if message := ingest_checks.describe_replacement(before, digest, was_here=was_here):
        print(message)
    for line in ingest_checks.ingest_notes(listing, loaded):
        print(line, file=sys.stderr)
    print("keep this version: git add data/01_raw/faces.zip.dvc data/journal.jsonl && git commit")


@app.command()
def manifest() -> None:
    """List every image with its measurements and defects.

    Writes data/02_manifest/manifest.parquet.
    """
    from unveil.common.files import read_json, require_path
    from unveil.common.paths import ARCHIVE, MANIFEST, SUMMARY
    from unveil.config import params
    from unveil.data import manifest as manifests

    loaded = params.load()
    source = require_path(ARCHIVE, made_by="unveil ingest SOURCE` or `unveil sample")
    manifests.make(source, loaded)
    summary = read_json(SUMMARY, made_by="unveil manifest")
    print(f"{MANIFEST}: {summary['images']} faces, quarantined {summary['quarantined'] or 'none'}")
    for kind in ("exact", "near"):
        found = summary[f"{kind}_twins"]
        print(
            f"{kind} duplicates: {found['groups']} groups, {found['across_splits']} across splits, "
            f"{found['with_two_labels']} with two labels"
        )


@app.command()
def validate() -> None:
    """Check the manifest against the data quality rules.

    Fails if the data violates a rule with the policy `stop`.
    """
    from unveil.common.paths import DATA_DOCS, MANIFEST
    from unveil.config import params
    from unveil.quality import validate as validates

    verdict = validates.validate(MANIFEST, params.load())
    rules, see = verdict["rules"], f"see {DATA_DOCS}/index.html"
    counts = Counter(rule["status"] for rule in rules)
    for rule in rules:
        if rule["status"] in ("broken", "warned"):
            print(validates.describe_violation(rule), file=sys.stderr)
    if not verdict["passed"]:
        raise UserError(f"the data broke {counts['broken']} of {len(rules)} rules; {see}")
    summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    print(f"the data passed {len(rules)} rules ({summary}); {see}")


@app.command()
def pack() -> None:
    """Pack the images of each split into NumPy arrays.

    Writes data/03_packed.
    """
    from unveil.common.paths import ARCHIVE, MANIFEST, PACKED, VALIDATION
    from unveil.config import params
    from unveil.data import pack as packs

    counts = packs.make(ARCHIVE, MANIFEST, params.load(), validation=VALIDATION)
    print(f"{PACKED}: " + ", ".join(f"{count} faces in {name}" for name, count in counts.items()))


def _ready_for(architecture: str) -> "Params":
    from unveil.config import params

    loaded = params.load()
    loaded.require_architecture(architecture)
    backend.load()
    return loaded


@app.command()
def train(
    architecture: Architecture,
    count: Annotated[
        int, typer.Option("--seeds", min=1, help="Number of training runs with different seeds.")
    ] = 1,
) -> None:
    """Train one architecture in two stages.

    Interrupted runs resume from the last completed epoch.

    With --seeds N the architecture is trained, evaluated and logged to MLflow N times. The seeds
    are training.seed of the recipe and the next N - 1 numbers. The first run is the pipeline's
    model, data/04_models/ARCH. The other runs are written to data/09_seeds/ARCH/SEED, which is not
    the output of a DVC stage. A run is repeated only if params.yaml, the data, the code or the
    processor has changed. data/05_reports/seeds/ARCH.json has the mean and standard deviation of
    the test macro-F1, and the macro-F1 of the averaged predictions.
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
    print(f"{architecture}: best validation macro-F1 {best:.3f} of {len(trained.history)} epochs")


@app.command()
def evaluate(architecture: Architecture) -> None:
    """Evaluate one trained architecture on all splits.

    Writes metrics with 95 % confidence intervals, calibration, slices and plots to
    data/05_reports/architectures/ARCH.
    """
    loaded = _ready_for(architecture)

    from unveil.evaluation.report_sections import summary
    from unveil.experiments import tracked_training

    metrics = tracked_training.evaluate(architecture, loaded)
    for line in summary(metrics):
        print(f"{architecture}: {line}")


@app.command()
def publish() -> None:
    """Log trained architectures to MLflow.

    Sends only what the server does not have yet, for example after training without a server.
    """
    from unveil.common import missing_files
    from unveil.common.paths import MODELS
    from unveil.config import params

    loaded = params.load()
    runs = {key: MODELS / key / "run.json" for key in loaded.architectures}
    trained = [key for key, path in runs.items() if path.exists()]
    for message in filter(None, map(missing_files.restore_hint, runs.values())):
        print(f"not logged to MLflow: {message}", file=sys.stderr)
    backend.load()

    from unveil import registry

    logged = []
    for key in trained:
        try:
            registry.publish(key)
            logged.append(key)
        except UserError as error:
            print(f"{key}: {error}", file=sys.stderr)
    print(f"MLflow has {len(logged)} trainings: {', '.join(logged) or 'none'}")
    if logged != trained:
        raise typer.Exit(2)
