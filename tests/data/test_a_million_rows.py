"""A manifest of a million rows, without any image, is judged in minutes and a small memory."""

import numpy as np
import pandas as pd
import pytest

from unveil.benchmarks import data
from unveil.common.paths import MANIFEST
from unveil.config.schema import COLUMNS

ROWS = 1_000_000

pytestmark = pytest.mark.slow


def synthetic(rows: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    drawn = {
        "split": generator.choice(["train", "validation", "test"], rows, p=[0.8, 0.1, 0.1]),
        "label": generator.choice(["happy", "neutral", "sad", "surprise"], rows),
        "site": generator.choice(["north", "south", "west"], rows),
        "glasses": generator.choice(["no", "yes"], rows, p=[0.7, 0.3]),
    }
    faces = pd.DataFrame(drawn).assign(
        member=[f"faces/{row:07d}.png" for row in range(rows)],
        sha256=[f"{row:064x}" for row in range(rows)],
        dhash=[f"{row:016x}" for row in range(rows)],
        phash=[f"{row:016x}" for row in range(rows)],
        width=48,
        height=48,
        mode="L",
        brightness=generator.uniform(30, 220, rows),
        contrast=generator.uniform(20, 80, rows),
        sharpness=generator.gamma(2, 200, rows),
        bytes_per_pixel=generator.uniform(0.4, 1, rows),
        twins="",
        fault="",
        quarantine="",
    )
    faces.loc[::1000, ["fault", "quarantine"]] = "near_black: brightness 3.0"
    return faces[[*COLUMNS, "site", "glasses", "quarantine"]]


def test_a_million_rows_take_less_than_three_minutes_and_four_gigabytes(place):
    MANIFEST.parent.mkdir(parents=True)
    synthetic(ROWS).to_parquet(MANIFEST, index=False)
    cost = data.command(place, "unveil", "validate")
    print(f"{ROWS} rows: {cost.seconds:.0f} s, {cost.megabytes:.0f} MB")
    assert cost.seconds < 180
    assert cost.megabytes < 4096
