"""What people look at: explanations, the report, the model card."""

from typing import Annotated

import typer

from unveil import backend

app = typer.Typer()


@app.command()
def explain(
    architecture: Annotated[str, typer.Argument(help="A key of `architectures` in params.yaml.")],
) -> None:
    """Show what a network's answers rest on, and what it gets most wrong."""
    from unveil import params

    loaded = params.load()
    loaded.named(architecture)
    backend.load()

    from unveil import explain as explains
    from unveil import registry
    from unveil.paths import EXPLANATIONS

    found = explains.explain(architecture, loaded)
    folder = EXPLANATIONS / architecture
    registry.attempt(lambda: registry.attach(architecture, folder, "explanation"))
    print(f"{folder}: maps of {found['images']} faces, contact sheets in sheets.html")
    for method, lead in found["lead"].items():
        print(
            f"{method}: {'' if found['faithful'][method] else 'not shown '}faithful, better than "
            f"random maps by {lead['deletion']['value']:+.3f} (deletion), "
            f"{lead['insertion']['value']:+.3f} (insertion)"
        )


@app.command()
def report() -> None:
    """Write one page about all that was trained, compared and decided."""
    from unveil import params
    from unveil import report as reports

    print(f"{reports.make(params.load())}: open it in a browser")


@app.command()
def model_card() -> None:
    """Write the champion's model card, and add it to its version in MLflow."""
    from unveil import model_card as cards
    from unveil import params
    from unveil.paths import MODEL_CARD

    version = cards.make(params.load())
    print(f"{MODEL_CARD}: {version.architecture}, version {version.number}")
