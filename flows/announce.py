"""A decision about who is champion, as an event of Prefect: automations can hang on it.

Takes ``data/05_reports/promotion.json``. In a flow `promote` calls it; after `unveil promote` or
`rollback` of a person the verb runs ``python -m flows.announce``, where PREFECT_API_URL is set.
"""

import re

import typer
from prefect.events import emit_event

from flows.server import reachable, saying
from unveil.files import read_json
from unveil.paths import PROMOTION
from unveil.registry import NAME

RESOURCE = f"unveil.model.{NAME}"


def announce() -> str:
    """Emit ``unveil.champion.promoted``, ``.forced``, ``.rolled-back`` or ``.refused``.

    Its payload is the decision; gives the event's name.
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


@saying
def main() -> None:
    """Tell the server that PREFECT_API_URL names."""
    reachable()
    announce()


if __name__ == "__main__":
    typer.run(main)
