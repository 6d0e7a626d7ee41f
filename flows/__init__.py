"""The Prefect flows: scheduling, dispatch and recovery. The work is in unveil and dvc.yaml."""

import os
import sys

from flows import server_address

# Prefect reads the variable at its import, and a malformed one would end in a traceback.
if (_url := os.environ.get("PREFECT_API_URL")) and (_why := server_address.problem(_url)):
    print(f"unveil: {server_address.error_message(_url, _why)}", file=sys.stderr)
    sys.exit(2)
