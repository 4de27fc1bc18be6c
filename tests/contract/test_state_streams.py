"""Streams: at least once, oldest first, one reader at a time, and again when that one died."""

from app.infra.state import Append, Entry, StateStore
from tests.contract.conftest import LEASE_SECONDS, Place
from tests.servers import wait_until


def append(state: StateStore, tenant_id: str, *entries: bytes) -> list[str]:
    return [state.execute(Append(tenant_id, "events", entry)).results[0] for entry in entries]


def read(state: StateStore, tenant_id: str, consumer: str = "one", count: int = 100) -> list[Entry]:
    return state.read_stream([tenant_id], "events", consumer, count=count).get(tenant_id, [])


def test_entries_come_in_order_and_once(state: StateStore, tenant_id: str) -> None:
    assert read(state, tenant_id) == []
    ids = append(state, tenant_id, b"a", bytes(range(256)), b"")
    assert read(state, tenant_id, count=2) == [Entry(ids[0], b"a"), Entry(ids[1], bytes(range(256)))]
    assert read(state, tenant_id) == [Entry(ids[2], b"")]
    assert read(state, tenant_id, "two") == []


def test_streams_and_tenants_are_apart(state: StateStore, tenant_id: str) -> None:
    other = tenant_id + "-other"
    append(state, tenant_id, b"mine", b"mine too")
    append(state, other, b"theirs")
    state.execute(Append(tenant_id, "elsewhere", b"x"))
    found = state.read_stream([other, tenant_id, "nobody"], "events", "one", count=10)
    assert {tenant: [e.entry for e in entries] for tenant, entries in found.items()} == {
        tenant_id: [b"mine", b"mine too"],
        other: [b"theirs"],
    }
    assert state.read_stream([], "events", "one", count=10) == {}


def test_the_count_is_per_tenant(state: StateStore, tenant_id: str) -> None:
    other = tenant_id + "-other"
    append(state, tenant_id, *[b"x"] * 5)
    append(state, other, *[b"y"] * 5)
    found = state.read_stream([tenant_id, other], "events", "one", count=3)
    assert {tenant: len(entries) for tenant, entries in found.items()} == {tenant_id: 3, other: 3}


def test_what_a_dead_reader_left_is_handed_out_again(place: Place, state: StateStore, tenant_id: str) -> None:
    append(state, tenant_id, b"a", b"b", b"c")
    first = read(state, tenant_id, "dies", count=2)
    state.acknowledge(tenant_id, "events", [first[0].id])
    assert [entry.entry for entry in read(state, tenant_id, "lives")] == [b"c"]
    again: list[Entry] = []

    def handed_out() -> bool:
        again.extend(read(state, tenant_id, "lives"))
        return any(entry.entry == b"b" for entry in again)

    wait_until(handed_out, seconds=LEASE_SECONDS + 5)
    assert first[1] in again
    assert b"a" not in {entry.entry for entry in again}


def test_old_entries_come_before_new_ones_within_the_count(state: StateStore, tenant_id: str) -> None:
    append(state, tenant_id, b"1", b"2", b"3")
    read(state, tenant_id, "dies")
    append(state, tenant_id, b"4", b"5")
    found: list[bytes] = []

    def handed_out() -> bool:
        entries = read(state, tenant_id, "lives", count=4)
        found.extend(entry.entry for entry in entries)
        state.acknowledge(tenant_id, "events", [entry.id for entry in entries])
        return len(found) >= 5

    wait_until(handed_out, seconds=LEASE_SECONDS + 5)
    assert sorted(found) == [b"1", b"2", b"3", b"4", b"5"]
    assert [entry for entry in found if entry in (b"1", b"2", b"3")] == [b"1", b"2", b"3"]


def test_what_was_acknowledged_never_comes_again(place: Place, state: StateStore, tenant_id: str) -> None:
    append(state, tenant_id, b"a", b"b")
    entries = read(state, tenant_id)
    state.acknowledge(tenant_id, "events", [entry.id for entry in entries])
    state.acknowledge(tenant_id, "events", [entry.id for entry in entries])
    state.acknowledge(tenant_id, "events", [])
    new = append(state, tenant_id, b"c")
    assert new[0] not in {entry.id for entry in entries}, "ids are not used again"
    other = place.open()
    wait_until(lambda: [e.entry for e in read(other, tenant_id, "two")] == [b"c"], seconds=LEASE_SECONDS + 5)
    other.close()


def test_acknowledging_for_one_tenant_leaves_others_alone(state: StateStore, tenant_id: str) -> None:
    other = tenant_id + "-other"
    append(state, tenant_id, b"mine")
    append(state, other, b"theirs")
    entries = read(state, other)
    state.acknowledge(tenant_id, "events", [entry.id for entry in entries])
    wait_until(lambda: len(read(state, other, "two")) == 1, seconds=LEASE_SECONDS + 5)
