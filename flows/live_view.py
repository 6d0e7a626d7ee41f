"""Shows a run of train-all on a terminal: its steps, the architectures and the time left."""

from collections.abc import Sequence
from typing import Self, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from flows.plain_view import ended, progress, write
from flows.run_state import LAST_STEPS, STEPS, Training, Work
from flows.view import View
from unveil.common.durations import in_words

MARKS = {
    "waiting": ("·", "dim"),
    "done": ("✓", "green"),
    "up to date": ("✓", "green"),
    "failed": ("✗", "red"),
}
ASCII = {"·": ".", "✓": "+", "✗": "x"}


class LiveView(View):
    """Draws the state of the run four times a second; warnings are written above it."""

    listens = True

    def __init__(self, console: Console, err: TextIO) -> None:
        super().__init__()
        self.console = console
        self._err = err
        self._spinner = Spinner("line" if self.console.options.ascii_only else "dots")
        # What the process prints is in the log, not on this console.
        self._live = Live(
            get_renderable=self.render,
            console=self.console,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, *lines: str) -> None:
        """Write lines above the state."""
        for line in lines:
            self.console.print(line, markup=False, soft_wrap=True)

    def finish(self, lines: Sequence[str]) -> None:
        """Write the last lines below the state, which stays as it is."""
        self._live.stop()
        super().finish(lines)

    def warn(self, line: str) -> None:
        """Write a line above the state; if stderr is redirected, to it."""
        if self._err.isatty():
            self.console.print(Text(line, style="yellow"), soft_wrap=True)
        else:
            write(self._err, [line])

    def render(self) -> RenderableType:
        """Return the state of the run as a table."""
        table = Table.grid(padding=(0, 1))
        for name in STEPS:
            self._row(table, self.state.steps[name])
        self._row(table, Work("architectures", state=self._training_state()), self._bar())
        for training in self.state.trainings.values():
            self._row(table, training, indent="  ")
        for name in LAST_STEPS:
            self._row(table, self.state.steps[name])
        return table

    def _row(
        self, table: Table, work: Work, shown: RenderableType | None = None, indent: str = ""
    ) -> None:
        if work.state == "running":
            mark: RenderableType = self._spinner
        else:
            sign, style = MARKS[work.state]
            mark = Text(ASCII[sign] if self.console.options.ascii_only else sign, style)
        dim = "dim" if work.state == "waiting" else ""
        name = Text(f"{indent}{work.name}", dim)
        table.add_row(
            mark, name, shown or Text(self._about(work), dim, no_wrap=True, overflow="ellipsis")
        )

    def _about(self, work: Work) -> str:
        if work.state == "waiting":
            return ""
        if isinstance(work, Training) and work.state != "failed":
            return progress(work, self.state.detail) if work.state == "running" else ended(work)
        if work.state == "running":
            return ", ".join(filter(None, (self._time(work), self.state.detail)))
        parts = (work.state if work.state != "done" else self._time(work), work.result)
        return ": ".join(filter(None, parts))

    def _time(self, work: Work) -> str:
        return in_words(self.state.elapsed(work))

    def _training_state(self) -> str:
        states = {one.state for one in self.state.trainings.values()}
        if not states or states == {"waiting"}:
            return "waiting"
        return "running" if states & {"waiting", "running"} else "done"

    def _bar(self) -> RenderableType | None:
        trainings = self.state.trainings.values()
        if not trainings:
            return None
        count = sum(one.state not in ("waiting", "running") for one in trainings)
        grid = Table.grid(padding=(0, 1))
        grid.add_row(ProgressBar(len(trainings), count, width=24), Text(self.state.position()))
        return grid
