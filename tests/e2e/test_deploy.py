"""The files of deploy/: their schemas, and their own commands and settings, without containers."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest
import yaml
from PIL import Image as Picture
from tests.support import servers
from tests.support.bundles import made as bundle
from tests.support.bundles import quarter
from tests.support.image import FOLDER, ROOT, Image, last, stages
from tests.support.invalid_images import encoded

from unveil.serving import tokens

KUBERNETES = FOLDER / "kubernetes"
MANIFESTS = sorted(path for path in KUBERNETES.glob("*.yaml") if path.stem != "kustomization")
SERVICE = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["unveil"]
KUSTOMIZATION = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
POD = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text())["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
GIVEN = {
    "PURPOSE": "see that the server works",
    "CONTACT": "me@example.org",
    "ALLOW_HOST": "faces.example.org",
    "POD_IP": "10.1.2.3",
}
ONLY_TRAINING = ("tensorflow", "keras", "mlflow", "prefect", "dvc", "great_expectations", "pandas")
PNG = {"content-type": "image/png"}
OLDEST = "1.30.0"
"""The first version of Kubernetes with sidecars and the action `sleep` switched on."""


def filled(text: str) -> str:
    """Replace ${NAME:?...}, ${NAME:-...} and $(NAME), as Compose and Kubernetes do."""
    return re.sub(r"\$[{(](\w+)[^})]*[})]", lambda match: GIVEN[match[1]], text)


ARGUMENTS = {
    "compose": [filled(word) for word in SERVICE["command"]],
    "kubernetes": [filled(word) for word in CONTAINER["args"]],
}


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Iterator[tuple[Image, str]]:
    """The built image with a bundle and tokens; yields one of the tokens, too."""
    made = Image(tmp_path_factory.mktemp("image") / "root")
    made.build()
    (made.folder / "bundle").rmdir()
    bundle(made.folder / "bundle")
    token = tokens.issue(made.folder / "run/secrets/unveil/tokens.json", "kiosk")
    closed = [made.folder, *(made.folder / name for name in ("srv", "bundle", "run"))]
    for folder in closed:
        folder.chmod(0o555)
    yield made, token
    for folder in closed:
        folder.chmod(0o755)


@pytest.fixture(scope="module", params=ARGUMENTS)
def client(request, image, tmp_path_factory) -> Iterator[httpx.Client]:
    """A client of the server that Compose or Kubernetes would start, without a token."""
    made, _ = image
    log = tmp_path_factory.mktemp("logs") / "server.log"
    with (
        made.serve(ARGUMENTS[request.param], log) as url,
        httpx.Client(base_url=url, timeout=30) as opened,
    ):
        yield opened


@pytest.fixture(scope="module")
def bearer(image) -> dict[str, str]:
    return {"authorization": f"Bearer {image[1]}"}


def test_the_image_has_the_extra_serve_and_no_more(image):
    (packages,) = (image[0].folder / "srv/.venv/lib").glob("python3.*/site-packages")
    others = (*ONLY_TRAINING, "pip", "setuptools", "hatchling")
    assert [name for name in others if (packages / name).exists()] == []
    # The code itself, not a reference to the sources of the build stage.
    assert (packages / "unveil/serving/static/vendor").is_dir()
    assert not list(packages.glob("*unveil*.pth"))


def test_without_a_purpose_the_image_does_not_start(image):
    result = image[0].run(json.loads(last("ENTRYPOINT")))
    assert result.returncode == 2
    assert "--purpose" in result.stderr and "Traceback" not in result.stderr


def test_the_image_predicts_for_clients_with_a_token(client, bearer):
    face = encoded(Picture.fromarray(quarter(0)))
    assert client.post("/v1/predict", content=face, headers=PNG).status_code == 401
    answer = client.post("/v1/predict", content=face, headers=PNG | bearer)
    assert answer.status_code == 200 and len(answer.json()["faces"]) == 1
    # A picture of this size is decoded in a process of its own.
    large = encoded(Picture.fromarray(quarter(0, 640)))
    assert client.post("/v1/predict", content=large, headers=PNG | bearer).status_code == 200


def test_the_health_check_tells_a_ready_server_from_none(client, image):
    check = json.loads(last("HEALTHCHECK").split("CMD ", 1)[1])
    for port, healthy in ((client.base_url.port, True), (servers.free_port(), False)):
        result = image[0].run([word.replace("8000", str(port)) for word in check])
        assert (result.returncode == 0) == healthy, result.stderr


@pytest.mark.parametrize("kind", PROBES)
def test_a_probe_of_kubernetes_gets_200(client, kind):
    probe = CONTAINER[kind]["httpGet"]
    headers = {one["name"]: one["value"] for one in probe["httpHeaders"]}
    assert client.get(probe["path"], headers=headers).status_code == 200


def test_the_public_name_is_accepted_and_no_other(client):
    name = {"host": GIVEN["ALLOW_HOST"]}
    assert client.get("/readyz", headers=name).status_code == 200
    assert client.get("/readyz", headers={"host": "forged.example.org"}).status_code == 400


def test_prometheus_needs_a_token_and_may_use_the_address_of_the_pod(image, bearer, tmp_path):
    with image[0].serve(ARGUMENTS["kubernetes"], tmp_path / "log") as url:
        pod = {"host": f"{GIVEN['POD_IP']}:8000"}
        assert httpx.get(f"{url}/metrics", headers=pod).status_code == 401
        answer = httpx.get(f"{url}/metrics", headers=pod | bearer)
        assert answer.status_code == 200 and "unveil_ready 1.0" in answer.text
        # Kubernetes replaces the file of a secret; the server reads it again.
        token = tokens.issue(image[0].folder / "run/secrets/unveil/tokens.json", "prometheus")
        new = pod | {"authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}/metrics", headers=new).status_code == 200


def test_the_image_writes_to_its_folder_for_state_alone(client, image):
    folder = image[0].folder
    assert (folder / "state/last_good/bundle.json").exists()
    events = [json.loads(line) for line in (folder / "state/audit.jsonl").read_text().splitlines()]
    assert GIVEN["PURPOSE"] in [event.get("text") for event in events]
    outside = ["find", *map(str, (folder / "srv", folder / "bundle")), "-newer"]
    newest = folder / "run/secrets/unveil/tokens.json"
    found = subprocess.run([*outside, newest], capture_output=True, text=True, check=True)
    assert found.stdout == ""


def test_the_image_stops_in_time_and_records_it(image, tmp_path):
    audit = image[0].folder / "state/audit.jsonl"
    before = audit.read_text().count('"event": "stop"') if audit.exists() else 0
    with image[0].serve(ARGUMENTS["compose"], tmp_path / "log") as url:
        began = time.monotonic()
        url.process.terminate()
        assert url.process.wait(timeout=30) == 0
    grace = min(POD["terminationGracePeriodSeconds"], int(SERVICE["stop_grace_period"][:-1]))
    assert time.monotonic() - began < grace
    assert audit.read_text().count('"event": "stop"') == before + 1


def test_the_sidecar_prints_the_audit_log_and_stops(image, tmp_path):
    (sidecar,) = POD["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    command = [word.replace("/state/audit.jsonl", "audit.jsonl") for word in sidecar["command"]]
    log, audit = tmp_path / "log", tmp_path / "audit.jsonl"
    wanted = '{"event": "start"}\n'

    def printed() -> bool:
        audit.write_text(wanted)  # later than the sidecar
        return wanted in log.read_text()

    with servers.serving(command, "", log, ready=printed) as given:
        given.process.terminate()
        assert given.process.wait(timeout=10) == 0 or given.process.returncode == 143


def test_the_dockerfile_is_clean():
    subprocess.run([servers.BIN / "hadolint", FOLDER / "Dockerfile"], check=True)
    bases = {rest.split()[0] for stage in stages() for name, rest in stage if name == "FROM"}
    (base,) = bases
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", base)
    assert f"FROM {base}\n" in (ROOT / "mlflow/Dockerfile").read_text()
    version = re.search(r"UV_VERSION := (.*)", (ROOT / "Makefile").read_text())[1]
    assert f"uv=={version}" in (FOLDER / "Dockerfile").read_text()


def test_the_compose_file_is_valid_and_its_service_confined():
    check = [servers.BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    subprocess.run([*check, FOLDER / "compose.yaml"], check=True)
    assert SERVICE["read_only"] is True and SERVICE["cap_drop"] == ["ALL"]
    assert SERVICE["security_opt"] == ["no-new-privileges:true"]
    assert SERVICE["ports"] == ["${LISTEN:-127.0.0.1}:${PORT:-8000}:8000"]


def test_compose_requires_purpose_and_contact_and_has_an_example_of_each_variable():
    text = (FOLDER / "compose.yaml").read_text()
    used = dict(re.findall(r"\$\{(\w+):([-?])", text))
    lines = (FOLDER / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line[0] != "#")
    assert set(example) == set(used)
    required = {name for name, kind in used.items() if kind == "?"}
    assert required == {name for name, value in example.items() if not value}
    assert required == {"PURPOSE", "CONTACT"}
    for name, value in example.items():
        assert name in required or f"${{{name}:-{value}}}" in text


def test_the_health_check_of_compose_is_that_of_the_image():
    options, check = last("HEALTHCHECK").split(" CMD ", 1)
    ours = SERVICE["healthcheck"]
    assert ours["test"] == ["CMD", *json.loads(check)]
    for option, value in re.findall(r"--([\w-]+)=(\w+)", options):
        assert str(ours[option.replace("-", "_")]) == value


@pytest.mark.parametrize("version", [OLDEST, None])
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_fits_its_schema(path, version):
    chosen = ["--kubernetes-version", version] if version else []
    subprocess.run([servers.BIN / "kubernetes-validate", "--strict", *chosen, path], check=True)


def test_the_pods_meet_the_restricted_standard():
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    user = f"{POD['securityContext']['runAsUser']}:{POD['securityContext']['runAsGroup']}"
    assert user == last("USER")
    for container in (*POD["containers"], *POD["initContainers"]):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"] and container["resources"]["limits"]


def test_everything_is_selected_by_one_label():
    labels = {"app.kubernetes.io/name": "unveil"}
    spec = {
        path.stem: yaml.safe_load(path.read_text())["spec"]
        for path in MANIFESTS
        if path.stem != "namespace"
    }
    assert spec["deployment"]["selector"]["matchLabels"] == labels
    assert spec["deployment"]["template"]["metadata"]["labels"] == labels
    assert spec["service"]["selector"] == labels
    assert spec["disruption-budget"]["selector"]["matchLabels"] == labels
    assert spec["network-policy"]["podSelector"]["matchLabels"] == labels
    assert spec["network-policy"]["egress"] == []


def test_the_kustomization_lists_every_manifest_and_generates_what_they_refer_to():
    assert sorted(KUSTOMIZATION["resources"]) == [path.name for path in MANIFESTS]
    (settings,), (secret,) = (
        KUSTOMIZATION[kind] for kind in ("configMapGenerator", "secretGenerator")
    )
    assert CONTAINER["envFrom"] == [{"configMapRef": {"name": settings["name"]}}]
    volumes = {one["name"]: one for one in POD["volumes"]}
    assert volumes["tokens"]["secret"] == {"secretName": secret["name"], "defaultMode": 0o440}
    claim = yaml.safe_load((KUBERNETES / "bundle-claim.yaml").read_text())["metadata"]["name"]
    assert volumes["bundle"]["persistentVolumeClaim"]["claimName"] == claim
    images = {one["image"] for one in (*POD["containers"], *POD["initContainers"])}
    assert images == {one["name"] for one in KUSTOMIZATION["images"]}
    mounted = {one["mountPath"] for one in CONTAINER["volumeMounts"]}
    assert mounted == {"/bundle", "/state", "/tmp", "/run/secrets/unveil"}


@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl here, which has kustomize")
def test_kustomize_builds_manifests_that_fit_their_schemas(tmp_path):
    folder = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, folder)
    kustomize = ["kubectl", "kustomize", folder]
    assert subprocess.run(kustomize, capture_output=True).returncode != 0  # no purpose yet
    example = (folder / "serve.env.example").read_text()
    (folder / "serve.env").write_text(re.sub(r"^(\w+)=$", r"\1=given", example, flags=re.M))
    tokens.issue(folder / "tokens.json", "kiosk")
    built = subprocess.run(kustomize, capture_output=True, check=True).stdout
    path = tmp_path / "built.yaml"
    path.write_bytes(built)
    subprocess.run([servers.BIN / "kubernetes-validate", "--strict", path], check=True)
    kinds = {document["kind"] for document in yaml.safe_load_all(built)}
    assert kinds >= {"Deployment", "ConfigMap", "Secret", "NetworkPolicy", "PodDisruptionBudget"}


@pytest.mark.parametrize(
    "name",
    [
        "deploy/.env",
        "deploy/tokens.json",
        *(f"deploy/kubernetes/{name}" for name in ("serve.env", "tokens.json")),
    ],
)
def test_no_secret_gets_into_git(name):
    assert subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT).returncode == 0


def test_the_readme_names_files_that_exist_or_that_its_commands_make():
    text = (FOLDER / "README.md").read_text()
    named = set(re.findall(r"\bdeploy/[\w./-]*[\w]", text))
    made = {"deploy/.env", "deploy/tokens.json"}
    made |= {"deploy/kubernetes/serve.env", "deploy/kubernetes/tokens.json"}
    assert named and {name for name in named if not (ROOT / name).exists()} <= made
