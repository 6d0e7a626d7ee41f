"""Types shared by rules and parameters: splits, positive counts and fractions."""

from typing import Annotated, Literal

from pydantic import Field

SPLITS = ("train", "validation", "test")

Split = Literal["train", "validation", "test"]
SplitOrNone = Literal["train", "validation", "test", "none"]
Positive = Annotated[int, Field(gt=0, le=1_000_000_000)]
Share = Annotated[float, Field(ge=0, le=1)]
