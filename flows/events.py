"""Emits a promotion decision as a Prefect event, which can trigger automations.

Reads ``data/05_reports/promotion.json``. In a flow `promote` calls it. `unveil promote` and
`unveil rollback` run ``python -m flows.events`` if PREFECT_API_URL is set.
"""

import re

import typer
from prefect.events import emit_event

from flows.server import connect, report_user_errors
from unveil.common.files import read_json
from unveil.common.paths import PROMOTION
from unveil.registry import NAME

RESOURCE = f"unveil.model.{NAME}"


def announce() -> str:
    """Emit ``unveil.champion.promoted``, ``.forced``, ``.rolled-back`` or ``.refused``.

    Its payload is the decision; returns the event's name.
    """
    decision = read_json(PROMOTION, made_by="unveil promote")
    event = f"unveil.champion.{re.sub(r'[^a-z]+', '-', str(decision['act']))}"
    resource = {
        "prefect.resource.id": RESOURCE,
        "prefect.resource.name": NAME,
        "unveil.candidate": str(decision["candidate"]),
        "unveil.version": str(decision["version"] or ""),
    }
    emit_event(event=event, resource=resource, payload=decision)
    return event


@report_user_errors
def main() -> None:
    """Emit the event to the server of PREFECT_API_URL."""
    connect()
    announce()


if __name__ == "__main__":
    typer.run(main)
