#!/usr/bin/env bash
# MLflow 3.17.2: an experiment with the tag `mlflow.experimentKind` = `custom_model_development` opens without its runs.
#
# Expected: the tag, which MLflow's page reads and writes, makes the experiment open on the list of its runs.
# Seen: in a new browser profile, #/experiments/ID becomes #/experiments/ID/overview/usage?workflowType=genai, with the
#   usage of language models ("Traces 0", "No data available") and no run, with the tag and without it. The switch
#   "GenAI | Model training" decides. It starts at GenAI, and the browser keeps it (mlflow.workflowType_v1 in
#   localStorage): after a click on "Model training", even an experiment of kind `genai_development` opens on its runs.
#   ?workflowType=machine_learning in the address shows the runs once; the browser does not keep it. Needs Chromium.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
command -v chromium > /dev/null || { echo "no Chromium here: apt-get install chromium"; exit 1; }
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check \
  mlflow==3.17.2 sqlalchemy==2.0.58 playwright==1.65.2 2> /dev/null
cd "$room"
export MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=1 MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT=1
cat > look.py <<'P'
import re, shutil, socket, subprocess, sys, time, urllib.request

import mlflow
from playwright.sync_api import sync_playwright

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
url = f"http://127.0.0.1:{port}"
command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", "sqlite:///mlflow.db", "--workers", "1"]
command += ["--host", "127.0.0.1", "--port", str(port)]
server = subprocess.Popen(command, stdout=open("log", "w"), stderr=subprocess.STDOUT)


def experiment(kind):
    client = mlflow.MlflowClient(url)
    made = client.create_experiment(kind, tags={} if kind == "no tag" else {"mlflow.experimentKind": kind})
    client.set_terminated(client.create_run(made, run_name="the-only-run").info.run_id)
    return made


def opened(profile, place):
    """Open a page of the experiment; return which page it becomes, after it shows its content."""
    tab = profile.new_page()
    tab.goto(f"{url}/#/experiments/{place}")
    tab.wait_for_url(re.compile("(overview|runs).*workflowType="), timeout=60_000)
    what = "the-only-run" if "/runs?" in tab.url else "No data available"
    tab.get_by_text(what).first.wait_for(timeout=60_000)
    end = re.sub("&.*", "", tab.url.removeprefix(url))
    print(f"  /#/experiments/{place} opens {end}, which shows: {what}")
    assert ("the-only-run" in tab.inner_text("body")) == (what == "the-only-run")
    return end.split("/", 4)[-1]


try:
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{url}/health")
            break
        except OSError:
            time.sleep(1)
    usage, runs = "overview/usage?workflowType=genai", "runs?workflowType=machine_learning"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        ids = {kind: experiment(kind) for kind in ("no tag", "custom_model_development", "genai_development")}
        for kind, number in ids.items():
            print(f"mlflow {mlflow.__version__}, {kind}, in a new profile:")
            assert opened(browser.new_context(), number) == usage
        print("custom_model_development, in another new profile:")
        profile, number = browser.new_context(), ids["custom_model_development"]
        assert opened(profile, f"{number}?workflowType=machine_learning") == runs
        assert opened(profile, number) == usage
        tab = profile.new_page()
        tab.goto(f"{url}/#/experiments")
        tab.get_by_text("Model training", exact=True).first.click()
        tab.wait_for_function("localStorage['mlflow.workflowType_v1'] === '\"machine_learning\"'")
        print("and after a click on Model training, custom_model_development and genai_development:")
        assert opened(profile, number) == opened(profile, ids["genai_development"]) == runs
        browser.close()
finally:
    server.terminate()
    server.wait()
P
"$room/venv/bin/python" look.py
