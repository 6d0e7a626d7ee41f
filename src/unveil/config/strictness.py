"""How strictly the schema of params.yaml is validated."""

from pydantic import ConfigDict

STRICT = ConfigDict(strict=True, extra="forbid")
"""No value is converted to another type, and an unknown key is an error."""
