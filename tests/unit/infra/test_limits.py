from collections.abc import Iterator
from pathlib import Path

import pytest

from app.infra import limits
from app.infra.limits import LIMITS, Limit, RateLimited, network_of, require
from app.infra.state import Key, Outcome, Put
from app.infra.state.sql import SqlState, embedded

LIMIT = Limit("test", 2, 60)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqlState]:
    store = embedded(tmp_path)
    yield store
    store.close()


def test_counting_refuses_above_the_limit(state: SqlState) -> None:
    outcomes = [state.execute(LIMIT.count("t", "alice")) for _ in range(3)]
    assert [outcome.ok for outcome in outcomes] == [True, True, False]
    assert outcomes[2].retry_after_seconds == 60
    assert state.execute(LIMIT.count("t", "bob"), LIMIT.count("u", "alice")).ok


def test_looking_counts_nothing_and_refuses_once_the_limit_is_reached(state: SqlState) -> None:
    for _ in range(5):
        assert state.execute(LIMIT.look("t", "alice")).ok
    state.execute(LIMIT.fail("t", "alice"))
    assert state.execute(LIMIT.look("t", "alice")).ok
    state.execute(LIMIT.fail("t", "alice"))
    refused = state.execute(LIMIT.look("t", "alice"))
    assert (refused.ok, refused.retry_after_seconds) == (False, 60)
    assert all(state.execute(LIMIT.fail("t", "alice")).ok for _ in range(3))


def test_a_count_is_taken_back(state: SqlState) -> None:
    for _ in range(2):
        state.execute(LIMIT.count("t", "alice"))
    state.execute(limits.taken_back(LIMIT.count("t", "alice")))
    assert state.execute(LIMIT.count("t", "alice")).ok
    assert not state.execute(LIMIT.count("t", "alice")).ok


def test_a_subject_of_several_parts_is_not_mistaken_for_another() -> None:
    assert LIMIT.count("t", "ab", "c").key != LIMIT.count("t", "a", "bc").key
    assert LIMIT.count("t", "a").key != Limit("other", 2, 60).count("t", "a").key


def test_a_subject_is_not_stored_in_the_clear() -> None:
    assert "alice" not in str(LIMIT.count("t", "alice", "192.0.2.1").key)
    assert "192.0.2.1" not in str(LIMIT.count("t", "alice", "192.0.2.1").key)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_ipv6_customer_is_one_network(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_refusal_by_a_limit_is_a_429_with_its_wait() -> None:
    require(Outcome((1,)), LIMIT)
    require(Outcome((1,), refused=1), LIMIT, None)
    with pytest.raises(RateLimited) as caught:
        require(Outcome((1,), refused=1, retry_after_seconds=42), None, LIMIT)
    assert (caught.value.status, caught.value.code, caught.value.retry_after_seconds) == (
        429,
        "rate.limited",
        42,
    )
    assert "test" in caught.value.detail
    assert "test" not in caught.value.public


def test_limits_are_named_once_and_let_normal_use_pass() -> None:
    assert len({limit.name for limit in LIMITS}) == len(LIMITS)
    thousand_a_second = 1000
    assert limits.CLIENT_REQUESTS.most / limits.CLIENT_REQUESTS.window_seconds >= 5 * thousand_a_second


def test_a_batch_stops_at_the_limit(state: SqlState) -> None:
    state.execute(LIMIT.count("t", "a"), LIMIT.count("t", "a"))
    outcome = state.execute(LIMIT.count("t", "a"), Put(Key("t", "x", "y"), b"", 60))
    assert outcome.results == ()
    with pytest.raises(RateLimited):
        require(outcome, LIMIT)
