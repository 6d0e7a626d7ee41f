"""Network architectures; an entry in params.yaml names a builder and its arguments.

Every network maps raw gray faces ``(n, size, size, 1) uint8`` to probabilities
``(n, classes) float32``. Colour conversion, scaling and resizing are layers of the graph and run
in float32 whatever the compute type. The layer named ``features`` ends the backbone; the layers
after it are the head. To add an architecture, add a module here and its class to ``Architecture``.
May import: common.
"""

from typing import Annotated

from pydantic import Field

from unveil.networks.backbones import Transfer
from unveil.networks.cnn import Cnn

Architecture = Annotated[Cnn | Transfer, Field(discriminator="builder")]

__all__ = ["Architecture", "Cnn", "Transfer"]
