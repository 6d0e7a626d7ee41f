"""The networks: an entry in params.yaml names a builder, its other keys are the builder's.

Every network takes raw gray faces ``(n, size, size, 1) uint8`` and gives probabilities
``(n, classes) float32``; colour, scaling and resizing happen inside the graph, and in float32
whatever the rest computes in. The layer named ``features`` ends the backbone; what follows it is
the head. Another kind of network is one more module here and its name in ``Architecture``.
May import: common.
"""

from typing import Annotated

from pydantic import Field

from unveil.networks.cnn import Cnn
from unveil.networks.transfer import Transfer

Architecture = Annotated[Cnn | Transfer, Field(discriminator="builder")]

__all__ = ["Architecture", "Cnn", "Transfer"]
