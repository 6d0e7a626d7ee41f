"""The bytes of an ONNX network -> a session of ONNX Runtime on the CPU."""

import os
from typing import TYPE_CHECKING

from unveil.common.errors import UserError
from unveil.inference.cores import available_cores, cpu_limit

if TYPE_CHECKING:
    import onnxruntime

EXTERNAL = "session.model_external_initializers_file_folder_path"
"""ONNX Runtime's session option for the folder of external weights."""


def open_session(
    model: bytes, name: object, threads: int, *, keeps_memory: bool = True
) -> "onnxruntime.InferenceSession":
    """Load a network; ``name`` is for messages, and ``threads=0`` uses all cores.

    Without ``keeps_memory`` it is freed after each run: a network for inputs of many sizes would
    keep the most that each thread ever needed.

    Raises ``UserError`` if ONNX Runtime cannot load it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # With 0 ONNX Runtime uses all cores of the machine, also those beyond a container's limit.
    options.intra_op_num_threads = threads or (available_cores() if cpu_limit() else 0)
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = keeps_memory
    # External weights have no digest, and would be read from the working directory.
    options.add_session_config_entry(EXTERNAL, os.devnull)
    # Spinning threads cost a server 1.6 ms of CPU time per face.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base class
        reason = (str(error).splitlines() or ["no reason given"])[0][:160]
        raise UserError(f"{name} cannot be loaded by ONNX Runtime: {reason}") from None
