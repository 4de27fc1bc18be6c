"""Every operation of the state port, alone: what it gives, when it is refused, when things expire."""

import time
from collections.abc import Callable

import pytest

from app.infra.state import (
    Delete,
    Get,
    Increment,
    Key,
    Op,
    Outcome,
    Put,
    PutIfAbsent,
    Raise,
    Replace,
    SetAdd,
    SetMembers,
    SetRemove,
    StateStore,
    TakeOnce,
)
from tests.servers import wait_until

Keys = Callable[..., Key]
ODD = bytes(range(256))


def result(state: StateStore, op: Op) -> object:
    (found,) = state.execute(op).results
    return found


def test_an_empty_batch_gives_nothing(state: StateStore) -> None:
    assert state.execute() == Outcome(())


def test_get_gives_what_was_put_or_none(state: StateStore, key: Keys) -> None:
    assert result(state, Get(key())) is None
    assert result(state, Put(key(), ODD, 60)) is True
    assert result(state, Get(key())) == ODD
    result(state, Put(key(), b"", 60))
    assert result(state, Get(key())) == b""


def test_a_required_get_is_refused_where_there_is_nothing(state: StateStore, key: Keys) -> None:
    assert state.execute(Get(key(), required=True)) == Outcome((), refused=0)
    state.execute(Put(key(), b"v", 60))
    assert state.execute(Get(key(), required=True)) == Outcome((b"v",))


def test_put_if_absent_sets_once(state: StateStore, key: Keys) -> None:
    assert result(state, PutIfAbsent(key(), b"first", 60)) is True
    assert result(state, PutIfAbsent(key(), b"second", 60)) is False
    assert state.execute(PutIfAbsent(key(), b"third", 60, required=True)) == Outcome((), refused=0)
    assert result(state, Get(key())) == b"first"


def test_replace_wants_the_expected_value(state: StateStore, key: Keys) -> None:
    assert result(state, Replace(key(), b"", b"new", 60)) is False
    state.execute(Put(key(), ODD, 60))
    assert result(state, Replace(key(), b"other", b"new", 60)) is False
    assert result(state, Replace(key(), ODD, b"new", 60)) is True
    assert result(state, Get(key())) == b"new"


def test_replace_sets_the_time_to_live(state: StateStore, key: Keys) -> None:
    state.execute(Put(key(), b"a", 1))
    state.execute(Replace(key(), b"a", b"b", 60))
    time.sleep(1.1)
    assert result(state, Get(key())) == b"b"


def test_take_once_gives_and_deletes(state: StateStore, key: Keys) -> None:
    state.execute(Put(key(), ODD, 60))
    assert result(state, TakeOnce(key())) == ODD
    assert result(state, TakeOnce(key())) is None
    assert state.execute(TakeOnce(key(), required=True)) == Outcome((), refused=0)
    assert result(state, Get(key())) is None


def test_delete_says_whether_there_was_something(state: StateStore, key: Keys) -> None:
    assert result(state, Delete(key())) is False
    state.execute(Put(key(), b"v", 60))
    assert result(state, Delete(key())) is True
    assert result(state, Get(key())) is None
    state.execute(SetAdd(key("set", "set"), "m", 60), SetAdd(key("set", "set"), "n", 60))
    assert result(state, Delete(key("set", "set"))) is True
    assert result(state, SetMembers(key("set", "set"))) == ()
    state.execute(Increment(key("n", "counter"), 60))
    assert result(state, Delete(key("n", "counter"))) is True
    assert result(state, Increment(key("n", "counter"), 60)) == 1


def test_increment_counts_and_refuses_above_its_limit(state: StateStore, key: Keys) -> None:
    counts = [state.execute(Increment(key(), 60, limit=2)) for _ in range(2)]
    assert counts == [Outcome((1,)), Outcome((2,))]
    refused = state.execute(Increment(key(), 60, limit=2))
    assert refused.refused == 0
    assert refused.results == ()
    assert refused.retry_after_seconds in (59, 60)
    assert result(state, Get(key())) == b"3", "what is refused stays counted"


def test_increment_by_other_amounts(state: StateStore, key: Keys) -> None:
    assert result(state, Increment(key(), 60, amount=5)) == 5
    assert result(state, Increment(key(), 60, amount=-2)) == 3
    assert result(state, Increment(key("below"), 60, amount=-1)) == -1


def test_increment_by_zero_only_looks(state: StateStore, key: Keys) -> None:
    assert result(state, Increment(key(), 60, amount=0)) == 0
    assert result(state, Get(key())) is None
    assert state.execute(Increment(key(), 60, amount=0, limit=0)).ok
    state.execute(Increment(key(), 60))
    assert state.execute(Increment(key(), 60, amount=0, limit=1)) == Outcome((1,))
    refused = state.execute(Increment(key(), 60, amount=0, limit=0))
    assert (refused.refused, refused.retry_after_seconds) == (0, 60)
    assert result(state, Get(key())) == b"1"


def test_a_window_begins_with_the_first_count(state: StateStore, key: Keys) -> None:
    state.execute(Increment(key(), 2))
    time.sleep(1.2)
    refused = state.execute(Increment(key(), 60, limit=1))
    assert refused.retry_after_seconds == 1, "later counts do not prolong the window"
    time.sleep(0.9)
    assert state.execute(Increment(key(), 60, limit=1)) == Outcome((1,))


def test_raise_never_lowers(state: StateStore, key: Keys) -> None:
    assert result(state, Raise(key(), 5, 60)) == 5
    assert result(state, Raise(key(), 3, 60)) == 5
    assert result(state, Raise(key(), 9, 60)) == 9
    assert result(state, Get(key())) == b"9"


def test_raise_never_shortens_a_life(state: StateStore, key: Keys) -> None:
    state.execute(Raise(key(), 5, 60))
    state.execute(Raise(key(), 6, 1))
    state.execute(Raise(key("brief"), 5, 1))
    state.execute(Raise(key("brief"), 5, 60))
    state.execute(Raise(key("gone"), 5, 1))
    time.sleep(1.1)
    assert state.execute(Get(key()), Get(key("brief")), Get(key("gone"))).results == (b"6", b"5", None)
    assert result(state, Raise(key("gone"), 2, 60)) == 2


def test_sets_have_members_in_order(state: StateStore, key: Keys) -> None:
    assert result(state, SetMembers(key())) == ()
    for member in ("ö", "b", "a", "b", ""):
        assert result(state, SetAdd(key(), member, 60)) is True
    assert result(state, SetMembers(key())) == ("", "a", "b", "ö")
    assert result(state, SetRemove(key(), "b")) is True
    assert result(state, SetRemove(key(), "b")) is False
    assert result(state, SetMembers(key())) == ("", "a", "ö")


def test_a_set_lives_from_its_last_addition(state: StateStore, key: Keys) -> None:
    state.execute(SetAdd(key(), "early", 1))
    state.execute(SetAdd(key(), "late", 60))
    state.execute(SetAdd(key("brief"), "early", 60))
    state.execute(SetAdd(key("brief"), "late", 1))
    time.sleep(1.1)
    assert result(state, SetMembers(key())) == ("early", "late")
    assert result(state, SetMembers(key("brief"))) == ()
    assert result(state, SetRemove(key("brief"), "late")) is False
    state.execute(SetAdd(key("brief"), "new", 60))
    assert result(state, SetMembers(key("brief"))) == ("new",)


def test_what_expired_is_not_there(state: StateStore, key: Keys) -> None:
    for name in ("get", "take", "delete", "replace", "absent", "count", "stays"):
        state.execute(Put(key(name), b"v", 60 if name == "stays" else 1))
    assert result(state, Get(key("get"))) == b"v"
    time.sleep(1.05)
    assert result(state, Get(key("get"))) is None
    assert state.execute(Get(key("get"), required=True)).refused == 0
    assert result(state, TakeOnce(key("take"))) is None
    assert result(state, Delete(key("delete"))) is False
    assert result(state, Replace(key("replace"), b"v", b"w", 60)) is False
    assert result(state, PutIfAbsent(key("absent"), b"again", 60)) is True
    assert state.execute(Get(key("absent")), Get(key("stays")), Get(key("get"))).results == (
        b"again",
        b"v",
        None,
    )
    assert result(state, Increment(key("count"), 60)) == 1


def test_purging_forgets_only_what_expired(state: StateStore, key: Keys) -> None:
    state.purge_expired()
    state.execute(Put(key("old"), b"v", 1), SetAdd(key("old", "set"), "m", 1))
    state.execute(Put(key("new"), b"v", 60), SetAdd(key("new", "set"), "m", 60))
    wait_until(lambda: result(state, Get(key("old"))) is None, seconds=3)
    assert state.purge_expired() in (0, 2)
    assert state.purge_expired() == 0
    assert state.execute(Get(key("new")), SetMembers(key("new", "set"))).results == (b"v", ("m",))


def test_a_time_to_live_is_at_least_a_second(key: Keys) -> None:
    for make in (
        lambda: Put(key(), b"", 0),
        lambda: PutIfAbsent(key(), b"", 0),
        lambda: Replace(key(), b"", b"", -1),
        lambda: Increment(key(), 0),
        lambda: Raise(key(), 1, 0),
        lambda: SetAdd(key(), "", 0),
    ):
        with pytest.raises(ValueError, match="time to live"):
            make()


@pytest.mark.parametrize("odd", ["with space", "a\nb", "nul\0", "ü", "\ud800", "{x}:y", "", "x" * 3000])
def test_any_text_is_a_key(state: StateStore, key: Keys, odd: str) -> None:
    state.execute(Put(key(odd), b"v", 60), SetAdd(key(odd, "set"), odd, 60))
    assert state.execute(Get(key(odd)), SetMembers(key(odd, "set"))).results == (b"v", (odd,))
    assert result(state, Get(key(odd + "x"))) is None


def test_keys_differ_in_tenant_kind_and_id(state: StateStore) -> None:
    state.execute(Put(Key("keys-a", "kind", "id"), b"v", 60))
    others = [Key("keys-b", "kind", "id"), Key("keys-a", "kinds", "id"), Key("keys-a", "kind", "i")]
    assert state.execute(*map(Get, others)).results == (None, None, None)
