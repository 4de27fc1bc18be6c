from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from app.domain import access_rules
from app.domain.tenant_settings import TenantSettings

NOON = datetime(2030, 1, 7, 12, tzinfo=UTC)  # a Monday
OFFICE = {"timezone": "America/New_York", "days": [1, 2, 3, 4, 5], "start": 9, "end": 17}


def settings(**changes: Any) -> TenantSettings:
    return TenantSettings.model_validate(changes)


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1", "-", "", "nonsense"])
def test_without_rules_everybody_may_work_from_everywhere_at_any_time(ip: str) -> None:
    assert access_rules.check(settings(), ip, NOON) is None


@pytest.mark.parametrize(
    ("ip", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8:1::9", True),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("11.0.0.1", False),
        ("2001:db8:2::9", False),
        ("-", False),
        ("", False),
        ("10.1.2.3, 192.0.2.8", False),
    ],
)
def test_only_allowed_networks_are(ip: str, allowed: bool) -> None:
    rules = settings(network={"allow": ["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.7"]})
    assert access_rules.check(rules, ip, NOON) == (None if allowed else "network.not_allowed")


def test_another_organizations_sign_in_may_be_excepted_from_the_network_alone() -> None:
    rules = {"network": {"allow": ["10.0.0.0/8"]}, "hours": OFFICE}
    assert access_rules.check(settings(**rules), "192.0.2.8", NOON, amr=["fed"]) == "network.not_allowed"
    rules["network"] = {"allow": ["10.0.0.0/8"], "bypass_for_sso": True}
    assert access_rules.check(settings(**rules), "192.0.2.8", NOON, amr=["pwd"]) == "network.not_allowed"
    assert access_rules.check(settings(**rules), "192.0.2.8", NOON, amr=["fed"]) == "hours.closed"


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2030-01-07T14:00:00+00:00", True),  # 9:00 in New York
        ("2030-01-07T13:59:59+00:00", False),
        ("2030-01-07T21:59:59+00:00", True),
        ("2030-01-07T22:00:00+00:00", False),  # 17:00
        ("2030-01-05T15:00:00+00:00", False),  # Saturday
        ("2030-07-08T13:00:00+00:00", True),  # 9:00, in summer an hour earlier
        ("2030-07-08T21:30:00+00:00", False),
    ],
)
def test_hours_go_by_the_clocks_of_their_time_zone(moment: str, is_open: bool) -> None:
    found = access_rules.check(settings(hours=OFFICE), "192.0.2.1", datetime.fromisoformat(moment))
    assert found == (None if is_open else "hours.closed")


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2030-01-07T22:00:00+00:00", True),  # Monday night
        ("2030-01-08T05:59:00+00:00", True),  # Tuesday morning, of Monday's night
        ("2030-01-08T06:00:00+00:00", False),
        ("2030-01-08T22:00:00+00:00", False),  # Tuesday has none
        ("2030-01-07T05:00:00+00:00", True),  # Monday morning, of Sunday's night
    ],
)
def test_a_night_belongs_to_the_day_it_begins_on(moment: str, is_open: bool) -> None:
    night = {"timezone": "UTC", "days": [1, 7], "start": 22, "end": 6}
    found = access_rules.check(settings(hours=night), "192.0.2.1", datetime.fromisoformat(moment))
    assert (found is None) is is_open


@pytest.mark.parametrize(
    "wrong",
    [
        {"network": {"allow": []}},
        {"network": {"allow": ["10.0.0.1/8"]}},
        {"network": {"allow": ["example.com"]}},
        {"hours": {**OFFICE, "timezone": "Mars/Olympus"}},
        {"hours": {**OFFICE, "timezone": "../../etc/passwd"}},
        {"hours": {**OFFICE, "days": [0]}},
        {"hours": {**OFFICE, "days": []}},
        {"hours": {**OFFICE, "start": 9, "end": 9}},
        {"hours": {**OFFICE, "end": 25}},
        {"sessions": {"max_active": 0}},
        {"sessions": {"reauthenticate_for": {"Bad Area": 5}}},
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


def test_areas_that_are_not_named_keep_their_default() -> None:
    found = settings(sessions={"reauthenticate_for": {"billing": "10m", "payouts": 60}})
    assert found.sessions.reauthenticate_for == {"security": 300, "billing": 600, "payouts": 60}
