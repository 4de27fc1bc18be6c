"""The catalogue refuses what it does not know, and an event is fit for every database and reader."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.infra import audit
from app.infra.events import CATALOGUE, EVENTS, MAX_ITEMS, MAX_TEXT, Event, is_plain
from app.infra.redaction import is_secret_name

ROOT = Path(__file__).resolve().parents[3]

FIXED_FIELDS = [
    "id",
    "time",
    "event",
    "tenant",
    "user",
    "email",
    "ip",
    "user_agent",
    "mfa_used",
    "session",
    "client",
    "grant",
    "outcome",
    "reason",
    "data",
]


def test_ids_and_aliases_are_unique_and_follow_the_grammar() -> None:
    assert len(CATALOGUE) == len(EVENTS) == len({row.alias for row in EVENTS})
    for row in EVENTS:
        assert re.fullmatch(r"[a-z_]+(\.[a-z_]+){1,3}", row.id)
        assert re.fullmatch(r"[a-z_]+", row.alias)
        assert row.description.endswith(".")
        assert row.ocsf[0] > 1000


def test_no_event_has_a_field_that_would_hold_a_secret() -> None:
    assert not [field for row in EVENTS for field in row.fields if is_secret_name(field)]


@pytest.mark.parametrize("row", EVENTS, ids=lambda row: row.id)
def test_every_event_has_the_fixed_fields(row: audit.EventType) -> None:
    data = dict.fromkeys(row.fields, "x")
    record = Event(row.id, tenant_id="t", outcome="success", data=data).as_record()
    assert list(record) == FIXED_FIELDS
    assert record["data"] == data


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the catalogue"):
        Event("auth.login.maybe", tenant_id="t", outcome="success")


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="has no field password"):
        Event("auth.login.success", tenant_id="t", outcome="success", data={"password": "x"})


def test_a_failure_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="reason"):
        Event("auth.login.fail", tenant_id="t", outcome="failure")


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="outcome"):
        Event("auth.login.fail", tenant_id="t", outcome="perhaps")  # type: ignore[arg-type]


def test_values_of_other_types_are_refused() -> None:
    event = Event("client.updated", tenant_id="t", outcome="success", data={"changes": [object()]})
    with pytest.raises(TypeError, match="object"):
        event.as_record()
    deep = Event("client.updated", tenant_id="t", outcome="success", data={"changes": [[[["x"]]]]})
    with pytest.raises(TypeError, match="deep"):
        deep.as_record()


NESTED: tuple[tuple[Any, bool], ...] = (
    (["a", "b"], True),
    ([{"sub": "a", "act": True}, {"sub": None}], True),
    ({"a": ["b"], "c": {"d": "e"}}, True),
    ([], True),
    ({}, True),
    (7, False),
    ([1, "a"], False),
    ([["a"]], False),
    ([{"a": ["b"]}], False),
    ({1: "a"}, False),
    (["x"] * (MAX_ITEMS + 1), False),
    ({str(n): "x" for n in range(MAX_ITEMS + 1)}, False),
    (["a\tb"], True),
    (["eyJhbGciOiJub25lIn0.e30.c2lnbmF0dXJl"], True),
)


@pytest.mark.parametrize(("value", "plain"), NESTED)
def test_the_quick_way_gives_the_same_record(value: Any, plain: bool) -> None:
    """What it cannot tell to be plain takes the slow way; what is nested too deeply is refused by both."""
    event = Event("client.updated", tenant_id="t", outcome="success", data={"changes": value})
    assert is_plain(event.data) is plain
    try:
        record = event.as_record()
    except TypeError:
        with pytest.raises(TypeError):
            audit.operation(event)
    else:
        assert json.loads(audit.operation(event).entry) == record


def test_text_is_cut_and_cleaned() -> None:
    event = Event(
        "auth.login.fail",
        tenant_id="t",
        outcome="failure",
        reason="password.wrong",
        user_agent="a\x00b\ud800" + "x" * 1000,
        email="line\nbreak@example.com",
    )
    record = event.as_record()
    assert len(record["user_agent"]) == MAX_TEXT
    assert "\x00" not in record["user_agent"]
    assert "\n" not in record["email"]
    audit.canonical(record)


def test_long_lists_and_large_integers_are_cut() -> None:
    data = {"changes": [str(n) for n in range(500)], "name": 1 << 60}
    record = Event("client.updated", tenant_id="t", outcome="success", data=data).as_record()
    assert record["data"]["changes"][-1] == f"… and {500 - MAX_ITEMS} more"
    assert record["data"]["name"] == str(1 << 60)


def test_sets_are_recorded_in_order() -> None:
    data = {"scopes": frozenset({"b", "a"})}
    record = Event("consent.allowed", tenant_id="t", outcome="success", data=data).as_record()
    assert record["data"]["scopes"] == ["a", "b"]


def test_what_looks_like_a_credential_is_blotted_out() -> None:
    secret = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    event = Event("auth.logout", tenant_id="t", outcome="success", user_agent=f"x {secret} y")
    assert event.as_record()["user_agent"] == "x [redacted] y"


def test_a_record_is_never_large() -> None:
    data = {"changes": [["y" * 500] * 60] * 60}
    event = Event("client.updated", tenant_id="t", outcome="success", data=data)
    entry = audit.operation(event).entry
    assert len(entry) <= audit.MAX_RECORD_BYTES
    assert json.loads(entry)["data"] == {"truncated": True}


def test_the_stream_entry_and_the_outbox_row_say_the_same() -> None:
    event = Event("token.issued", tenant_id="t", outcome="success", data={"scopes": ["é"]})
    append = audit.operation(event)
    assert (append.tenant_id, append.stream) == ("t", audit.STREAM)
    assert json.loads(append.entry) == event.as_record()


def test_every_event_of_the_catalogue_is_recorded_somewhere() -> None:
    """The catalogue tells the truth. The apply file makes the names of its kinds from two words."""
    kinds = ("tenant", "role", "group", "resource", "client", "user", "details_type", "trusted_issuer")
    applied = {f"{kind}.{done}" for kind in kinds for done in ("created", "updated", "deleted")}
    sources = [path for path in (ROOT / "app").rglob("*.py") if path.name != "events.py"]
    code = "\n".join(path.read_text("utf-8") for path in sources)
    assert [row.id for row in EVENTS if f'"{row.id}"' not in code and row.id not in applied] == []
