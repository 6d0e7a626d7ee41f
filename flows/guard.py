"""The former name of `flows.child_process`, for one version.

A worker that runs while its checkout is upgraded still starts its commands under this name.
"""

import sys

from flows.child_process import main

if __name__ == "__main__":
    print("flows.guard is now flows.child_process; restart this worker", file=sys.stderr)
    sys.exit(main())
