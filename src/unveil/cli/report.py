"""unveil explain, unveil report, unveil model-card: results for people to read."""

from typing import Annotated

import typer

from unveil.cli.commands import App
from unveil.common import backend

app = App()


@app.command()
def explain(
    architecture: Annotated[str, typer.Argument(help="A key of `architectures` in params.yaml.")],
) -> None:
    """Make saliency maps and contact sheets of errors.

    Shows which pixels the predictions of one trained architecture depend on, and measures how
    faithful the maps are.
    """
    from unveil.config import params

    loaded = params.load()
    loaded.require_architecture(architecture)
    backend.load()

    from unveil import registry
    from unveil.common.paths import EXPLANATIONS
    from unveil.evaluation import explain as explains

    found = explains.explain(architecture, loaded)
    folder = EXPLANATIONS / architecture
    registry.try_or_warn(lambda: registry.attach_folder(architecture, folder, "explanation"))
    print(f"{folder}: maps of {found['images']} faces, contact sheets in sheets.html")
    for method, lead in found["lead"].items():
        print(
            f"{method}: {'' if found['faithful'][method] else 'not shown '}faithful, better than "
            f"random maps by {lead['deletion']['value']:+.3f} (deletion), "
            f"{lead['insertion']['value']:+.3f} (insertion)"
        )


@app.command()
def report() -> None:
    """Write one HTML report about training, comparison and promotion.

    The file is data/05_reports/report.html.
    """
    from unveil.config import params
    from unveil.reporting import report as reports

    print(f"{reports.make(params.load())}: open it in a browser")


@app.command()
def model_card() -> None:
    """Write the champion's model card.

    The file is data/05_reports/model_card.md; it is also added to the model version in MLflow.
    """
    from unveil.common.paths import MODEL_CARD
    from unveil.config import params
    from unveil.reporting import model_card as cards

    version = cards.make(params.load())
    print(f"{MODEL_CARD}: {version.architecture}, version {version.number}")
