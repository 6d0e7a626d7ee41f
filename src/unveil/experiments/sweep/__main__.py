"""`python -m unveil.experiments.sweep TASK OUTCOME`: train one trial in a process of its own.

Reads the task of a search and writes its outcome, both as JSON files.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from unveil.common import backend
from unveil.common.errors import UserError
from unveil.common.files import read_json, write_json
from unveil.config import params
from unveil.experiments.sweep.tasks import Task


def main(task: Path, outcome: Path) -> None:
    """Train the trial of a file; raises ``UserError`` if it cannot be trained."""
    read = Task(**read_json(task, made_by="unveil sweep"))
    backend.load()

    from unveil.experiments.sweep import trial

    write_json(outcome, asdict(trial.run(read, params.load())))


if __name__ == "__main__":
    try:
        main(*map(Path, sys.argv[1:]))
    except UserError as error:
        print(f"unveil: {error}", file=sys.stderr)
        sys.exit(2)
