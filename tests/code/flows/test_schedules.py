"""The schedules of prefect.yaml on the nights of clock changes, as Prefect computes them."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.server.schemas.schedules import CronSchedule
from tests.conftest import ROOT

BERLIN = ZoneInfo("Europe/Berlin")
YEARS = range(2025, 2036)
DAY = timedelta(days=1)


def shipped() -> dict[str, CronSchedule]:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    return {
        f"{deployment['name']}/{schedule['slug']}": CronSchedule(
            cron=schedule["cron"], timezone=schedule["timezone"]
        )
        for deployment in deployments
        for schedule in deployment.get("schedules", ())
    }


def changes(zone: ZoneInfo) -> list[datetime]:
    """The midnights, in UTC, before the clock changes in ``zone``."""
    days = (datetime(year, 1, 1, tzinfo=UTC) + DAY * n for year in YEARS for n in range(366))
    return [day for day in days if offset(day, zone) != offset(day + DAY, zone)]


def offset(when: datetime, zone: ZoneInfo) -> timedelta | None:
    return when.astimezone(zone).utcoffset()


def planned(schedule: CronSchedule, start: datetime, end: datetime) -> list[float]:
    dates = asyncio.run(schedule.get_dates(n=200, start=start, end=end))
    return [date.timestamp() for date in dates]


def test_every_scheduled_deployment_is_tested():
    assert set(shipped()) == {"train-all/nightly", "monitor/hourly"}


@pytest.mark.parametrize("name", shipped())
def test_no_run_is_skipped_moved_or_repeated_when_clocks_change(name):
    schedule = shipped()[name]
    own = ZoneInfo(schedule.timezone)
    ordinary = datetime(2026, 6, 1, tzinfo=UTC)
    usual = planned(schedule, ordinary, ordinary + 2 * DAY)
    daily = usual[1] - usual[0] == DAY.total_seconds()
    nights = [night for zone in {BERLIN, own} for night in changes(zone)]
    assert len(nights) >= 2 * len(YEARS)
    for night in nights:
        runs = planned(schedule, night - DAY, night + 3 * DAY)
        gaps = {later - run for run, later in itertools.pairwise(runs)}
        if daily:
            local = [datetime.fromtimestamp(run, own) for run in runs]
            assert {run.hour for run in local} == {datetime.fromtimestamp(usual[0], own).hour}
            assert [run.date() for run in local] == [local[0].date() + DAY * n for n in range(4)]
        else:
            assert gaps == {usual[1] - usual[0]}, night
