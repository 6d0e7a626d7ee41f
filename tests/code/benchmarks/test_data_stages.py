"""`unveil bench data` runs and measures the data stages, and leaves no files behind."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unveil.benchmarks import data
from unveil.common.errors import UserError


def test_the_stages_are_run_and_measured(place):
    generator = np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 10), ("test", 10)):
        for label in ("happy", "neutral", "sad", "surprise"):
            folder = Path("faces") / split / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (48, 48), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    costs = data.data(Path("faces"))
    assert [cost.stage for cost in costs] == list(data.STAGES)
    assert all(cost.seconds > 0 and cost.megabytes > 10 for cost in costs)
    assert data.table(costs).count("\n| ") == len(data.STAGES) + 1
    assert sorted(path.name for path in place.iterdir()) == ["faces", "params.yaml"]


def test_a_stage_that_fails_is_named(place):
    with pytest.raises(UserError, match="unveil ingest failed, exit code 2"):
        data.data(Path("nowhere.zip"))
