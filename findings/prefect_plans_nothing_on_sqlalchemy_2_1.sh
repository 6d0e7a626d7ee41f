#!/usr/bin/env bash
# Prefect 3.8.8 takes SQLAlchemy 2.1 by its own metadata, and on it the server plans no run of any schedule.
#
# Expected: a deployment with an active schedule gets its next runs planned within seconds.
# Seen: with SQLAlchemy 2.1.9 the API answers, the deployment and its schedule are active, and no run is ever
#   planned: each pass of the scheduler ends in the log with "Can't evaluate bulk DML statement". With 2.0.58 on the
#   same server, runs are planned within seconds. A test that asks whether the schedule is active sees nothing.
set -euo pipefail
room=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2> /dev/null || true; wait; rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
bin=$room/venv/bin
# FastAPI: 0.165 breaks this server, which is another matter.
"$bin/pip" install --quiet --disable-pip-version-check prefect==3.8.8 fastapi==0.150.0 sqlalchemy==2.1.9 2> /dev/null
export PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS=5
cat > "$room/plan.py" <<'P'
import json, sys, time, urllib.error, urllib.request

def post(path, body):
    head = {"Content-Type": "application/json"}
    request = urllib.request.Request(sys.argv[1] + path, json.dumps(body).encode(), head, method="POST")
    return json.load(urllib.request.urlopen(request, timeout=30))

end = time.monotonic() + 180
while True:
    try:
        flow = post("/flows/", {"name": "nightly"})
        break
    except (urllib.error.URLError, ConnectionError):
        if time.monotonic() > end:
            raise
        time.sleep(1)
schedules = [{"active": True, "schedule": {"cron": "*/5 * * * *", "timezone": "UTC"}}]
body = {"name": "nightly", "flow_id": flow["id"], "paused": False, "schedules": schedules}
made = post("/deployments/", body)
assert made["schedules"][0]["active"] and not made["paused"]
end = time.monotonic() + 45
while not (runs := post("/flow_runs/filter", {})) and time.monotonic() < end:
    time.sleep(1)
print(len(runs))
P
planned() { # VERSION: prints how many runs were planned
  export PREFECT_HOME=$room/home-$1
  local port
  port=$("$bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$bin/prefect" server start --host 127.0.0.1 --port "$port" > "$room/log-$1" 2>&1 &
  server=$!
  "$bin/python" "$room/plan.py" "http://127.0.0.1:$port/api" > "$room/planned"
  kill $server; wait $server 2> /dev/null || true; server=
}
planned 2.1.9
echo "SQLAlchemy 2.1.9: $(< "$room/planned") runs planned, log: $(grep -o "Can't evaluate bulk DML statement" "$room/log-2.1.9" | head -1)"
[ "$(< "$room/planned")" = 0 ]
grep -q "Can't evaluate bulk DML statement" "$room/log-2.1.9"
"$bin/pip" install --quiet --disable-pip-version-check sqlalchemy==2.0.58 2> /dev/null
planned 2.0.58
echo "SQLAlchemy 2.0.58: $(< "$room/planned") runs planned"
[ "$(< "$room/planned")" -gt 0 ]
