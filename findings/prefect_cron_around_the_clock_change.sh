#!/usr/bin/env bash
# Prefect 3.8.8: what a cron schedule with a time zone does in the two nights when clocks change.
#
# Expected: a job at 02:00 that does not exist in spring runs at 03:00, the next time there is (as most crons do), or
#   not at all; an hourly job runs once every 3,600 seconds all year.
# Seen: in spring the job of 02:00 runs at **01:00**, an hour early, the same as 02:30 at 01:30; in autumn the hourly
#   job pauses for two hours: the repeated hour is skipped. A schedule outside 01:00 to 03:59 is not concerned.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check prefect==3.8.8 fastapi==0.150.0 sqlalchemy==2.0.58 2> /dev/null
PREFECT_HOME=$room/home PREFECT_SERVER_ANALYTICS_ENABLED=false DO_NOT_TRACK=1 "$room/venv/bin/python" - <<'P'
import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from prefect.server.schemas.schedules import CronSchedule

BERLIN = ZoneInfo("Europe/Berlin")

def runs(cron, start, hours):
    start = datetime(*start, tzinfo=BERLIN)
    schedule = CronSchedule(cron=cron, timezone="Europe/Berlin")
    dates = asyncio.run(schedule.get_dates(n=99, start=start, end=start + timedelta(hours=hours)))
    return [date.astimezone(UTC) for date in dates]

def local(cron, start, hours):
    return [date.astimezone(BERLIN).strftime("%d %H:%M") for date in runs(cron, start, hours)]

for cron, early in (("0 2 * * *", "01:00"), ("30 2 * * *", "01:30")):
    seen = local(cron, (2027, 3, 27, 12), 48)
    print(f"spring 2027-03-28, {cron}: {seen}")
    assert seen[0] == f"28 {early}"
hourly = runs("0 * * * *", (2026, 10, 24, 22), 10)
gaps = [int((late - early).total_seconds()) for early, late in zip(hourly, hourly[1:])]
print(f"autumn 2026-10-25, hourly: seconds between runs {gaps}")
assert sorted(set(gaps)) == [3600, 7200]
seen = local("30 4 * * *", (2027, 3, 27, 12), 48) + local("30 4 * * *", (2026, 10, 24, 12), 48)
assert {time[3:] for time in seen} == {"04:30"}
P
