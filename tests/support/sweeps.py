"""A project with a tiny network to search, and a search that gets a signal at an epoch.

``python -m tests.support.sweeps KEY ...`` is ``unveil sweep KEY ...``. With ``SIGNAL`` and
``AT_EPOCH=N`` it sends itself that signal when it begins its N-th epoch, counted over all trials.
"""

import os
import re
import signal
import sys
from pathlib import Path

KEY = "cnn3_gray"
SPACE = """\
training.weight_decay: {low: 1.0e-5, high: 0.1, log: true}
training.augmentation.shift: {low: 0.0, high: 0.1}
stage2.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
network.dropout: {low: 0.0, high: 0.5}
training.batch_size: {choices: [8, 16]}
"""
EPOCHS = 3
"""The epochs of a trial: one, then two."""


def shrink(place: Path) -> None:
    """Make a network and its recipe tiny by edits of the text, which keep the comments."""
    path = place / "params.yaml"
    text = re.sub(r"(?m)^recipe: \w+", "recipe: sample", path.read_text())
    text = re.sub(rf"(?m)(^  {KEY}: .*)filters: \[.*?\]", r"\1filters: [4, 8]", text)
    text = text.replace("batch_size: 32", "batch_size: 16", 1)
    text = text.replace("epochs: 6, learning_rate: 2.0e-3", "epochs: 2, learning_rate: 2.0e-3")
    path.write_text(text)
    (place / "space.yaml").write_text(SPACE)


def signal_at(epoch: int, number: int) -> None:
    """Send this process a signal when it begins an epoch, counted from 1."""
    from unveil.training.callbacks import SeedEachEpoch

    begin, begun = SeedEachEpoch.on_epoch_begin, []

    def began(self, number_of_epoch, logs=None):
        begin(self, number_of_epoch, logs)
        begun.append(number_of_epoch)
        if len(begun) == epoch:
            os.kill(os.getpid(), number)

    SeedEachEpoch.on_epoch_begin = began


if __name__ == "__main__":
    from unveil.common import backend

    backend.load()
    if "SIGNAL" in os.environ:
        signal_at(int(os.environ["AT_EPOCH"]), signal.Signals[os.environ["SIGNAL"]])
    from unveil.cli import main

    sys.argv[1:1] = ["sweep"]
    main()
