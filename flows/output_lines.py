"""Tells the warnings of unveil's commands from the messages of the libraries they use."""

import re

from flows.run_state import BAR

# unveil writes its warnings to stderr, and so do DVC, TensorFlow and Python. Errors of a command
# are in the state of its task, which is reported at its end.
LIBRARIES = re.compile(
    r"unveil: |ERROR: |WARNING: |WARNING:\w|INFO  \[|Traceback \(|\s"
    r"|[IWEF]\d{4} |\d{4}[-/]\d\d[-/]\d\d[ T]\d\d:\d\d"
    r"|.+\.py:\d+: \w*Warning: |To enable the following instructions"
    r"|Successfully registered model |Registered model |Created version "
    r"|Exception ignored|ptxas|Downloading data from "
)


def is_warning(line: str) -> bool:
    """Whether a line of stderr is a warning of unveil, which a user should see."""
    return bool(line) and not LIBRARIES.match(line) and not BAR.match(line)


def is_result(line: str) -> bool:
    """Whether a line of stdout is of unveil rather than of DVC."""
    return bool(line) and not re.match(r"Running stage |Stage '|> |\S+ lock file ", line)
