"""The script that compares rules for *unsure* runs with any bundle and packed faces."""

import sys

import numpy as np
from scripts import abstention_table
from tests.support import bundles

from unveil.dataset import arrays


def test_the_tables_have_a_row_for_each_calibration_and_rule(tmp_path, monkeypatch, capsys):
    made = bundles.made(tmp_path / "bundle", sharpness=5.0)
    generator = np.random.default_rng(0)
    for split, count in (("validation", 200), ("test", 160)):
        labels = np.arange(count) % 4
        faces = np.stack([bundles.quarter(label) for label in labels])[..., None]
        noisy = np.where(generator.random(faces.shape) < 0.75, generator.permutation(faces), faces)
        arrays.save(tmp_path / f"{split}.npz", noisy, labels, size=48)
    monkeypatch.setattr(sys, "argv", ["abstention_table", str(made), str(tmp_path)])
    abstention_table.main()
    head, calibrations, rules = capsys.readouterr().out.strip().split("\n\n")
    assert head == "validation n = 200, test n = 160"
    assert calibrations.count("\n") == 1 + len(abstention_table.CALIBRATIONS)
    assert rules.count("\n") == 2 + 2 * len(abstention_table.RULES)
    assert all(line.count("|") == 6 for line in calibrations.splitlines())
    assert {line.count("|") for line in rules.splitlines()} == {15}
    assert "nan" not in rules
