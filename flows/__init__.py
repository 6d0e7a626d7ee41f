"""When and where: the Prefect flows. What things are made of is in unveil, how in dvc.yaml."""

import os
import sys

from flows import server_address

# Prefect reads the variable when it is imported, and a malformed one ends there in a traceback.
if (_url := os.environ.get("PREFECT_API_URL")) and (_why := server_address.flaw(_url)):
    print(f"unveil: {server_address.refused(_url, _why)}", file=sys.stderr)
    sys.exit(2)
