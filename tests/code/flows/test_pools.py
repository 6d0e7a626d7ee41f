"""The job templates in flows/pools are valid for their worker types, and request one GPU each."""

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import jsonschema
import pytest
from docker.types import HostConfig
from prefect.client.schemas.objects import Flow, FlowRun
from prefect.workers.base import BaseWorker

POOLS = Path("flows/pools")
KINDS = ("docker", "kubernetes", "process")


def template(kind: str) -> dict:
    return json.loads((POOLS / f"{kind}.json").read_text())


def job(kind: str, **values):
    """The job that a worker of this type would start, with the pool's defaults."""
    worker = BaseWorker.get_worker_class_from_type(kind)
    # Only templates with references to the server's blocks need a client; ours have none.
    made = worker.job_configuration.from_template_and_values(
        template(kind), values, client=object()
    )
    configuration = asyncio.run(made)
    run = FlowRun(id=uuid4(), name="cnn3", flow_id=uuid4())
    configuration.prepare_for_flow_run(run, flow=Flow(id=run.flow_id, name="train-architecture"))
    return configuration


def test_there_is_exactly_one_template_per_pool_type():
    assert sorted(path.stem for path in POOLS.glob("*")) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_uses_only_variables_its_worker_knows(kind):
    known = BaseWorker.get_worker_class_from_type(kind).get_default_base_job_template()
    ours = template(kind)
    assert set(ours["job_configuration"]) <= set(known["job_configuration"])
    jsonschema.Draft202012Validator.check_schema(ours["variables"])
    for name, variable in ours["variables"]["properties"].items():
        if "default" in variable:
            jsonschema.validate(variable["default"], variable)
        if name in known["variables"]["properties"]:
            assert "default" not in variable or variable["default"] is not None


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_sends_heartbeats_logs_prints_and_pulls_no_code(kind):
    made = job(kind)
    environment = {name: str(value) for name, value in made.env.items()}
    if kind == "kubernetes":
        container = made.job_manifest["spec"]["template"]["spec"]["containers"][0]
        environment |= {entry["name"]: entry.get("value") for entry in container["env"]}
        assert container["args"] == ["python", "-m", "prefect.engine"]
    else:
        assert made.command == "python -m prefect.engine"
    assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert environment["PREFECT_LOGGING_LOG_PRINTS"] == "true"


@pytest.mark.parametrize("gpu", ["0", "1"])
def test_a_container_gets_the_configured_gpu(gpu):
    arguments = job("docker", **({"gpu": gpu} if gpu != "0" else {})).container_create_kwargs
    host = HostConfig(version="1.41", **arguments)
    assert host["DeviceRequests"] == [
        {
            "Driver": "nvidia",
            "Count": 0,
            "DeviceIDs": [gpu],
            "Capabilities": [["gpu"]],
            "Options": {},
        }
    ]


def test_a_pod_gets_one_gpu_and_a_volume_for_checkpoints():
    spec = job("kubernetes").job_manifest["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["resources"]["requests"]["nvidia.com/gpu"] == 1
    (mount,) = container["volumeMounts"]
    (volume,) = spec["volumes"]
    assert mount["name"] == volume["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == "unveil-checkpoints"
