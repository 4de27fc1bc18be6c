from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.infra.cache import ConfigCache
from app.kernel.errors import Problem, Unavailable


class Versions:
    """Versions that a test sets."""

    def __init__(self) -> None:
        self.now: dict[str, int] = {}
        self.is_known = True

    def of(self, tenant_id: str) -> int:
        if not self.is_known:
            raise Unavailable("database.unavailable")
        return self.now.get(tenant_id, 0)

    def fresh(self, tenant_id: str) -> int:
        return self.of(tenant_id)


class Counting:
    """A loader that counts."""

    def __init__(self, value: object = "loaded") -> None:
        self.calls = 0
        self.value = value

    def __call__(self) -> object:
        self.calls += 1
        return self.value


@pytest.fixture
def versions() -> Versions:
    return Versions()


def test_a_value_is_loaded_once_until_its_tenant_changes(versions: Versions) -> None:
    cache, load = ConfigCache(versions), Counting()
    for _ in range(3):
        assert cache.get("a", "client", "x", load) == "loaded"
    assert load.calls == 1
    versions.now["b"] = 1
    cache.get("a", "client", "x", load)
    assert load.calls == 1
    versions.now["a"] = 1
    cache.get("a", "client", "x", load)
    assert load.calls == 2


@pytest.mark.parametrize("other", [("b", "client", "x"), ("a", "resource", "x"), ("a", "client", "y")])
def test_tenant_kind_and_key_tell_values_apart(versions: Versions, other: tuple[str, str, str]) -> None:
    cache = ConfigCache(versions)
    cache.get("a", "client", "x", Counting(1))
    assert cache.get(*other, Counting(2)) == 2
    assert cache.get("a", "client", "x", Counting(3)) == 1


def test_what_is_not_there_is_remembered_too(versions: Versions) -> None:
    cache, load = ConfigCache(versions), Counting(None)
    assert cache.get("a", "client", "x", load) is None
    assert cache.get("a", "client", "x", load) is None
    assert load.calls == 1


def test_an_error_is_not_remembered(versions: Versions) -> None:
    cache = ConfigCache(versions)

    def fail() -> None:
        raise Problem("x", "y")

    with pytest.raises(Problem):
        cache.get("a", "client", "x", fail)
    assert cache.get("a", "client", "x", Counting()) == "loaded"


def test_nothing_is_given_while_the_version_is_unknown(versions: Versions) -> None:
    cache = ConfigCache(versions)
    cache.get("a", "client", "x", Counting())
    versions.is_known = False
    with pytest.raises(Unavailable):
        cache.get("a", "client", "x", Counting())


def test_a_change_while_loading_is_not_overlooked(versions: Versions) -> None:
    cache = ConfigCache(versions)

    def load_old() -> str:
        versions.now["a"] = 1
        return "old"

    assert cache.get("a", "client", "x", load_old) == "old"
    assert cache.get("a", "client", "x", lambda: "new") == "new"


def test_the_least_recently_used_go_first(versions: Versions) -> None:
    cache = ConfigCache(versions, max_entries=3)
    for name in "abc":
        cache.get("t", "k", name, Counting())
    cache.get("t", "k", "a", Counting())
    cache.get("t", "k", "d", Counting())
    assert len(cache) == 3
    again: dict[str, Counting] = {name: Counting() for name in "acd"}
    for name, load in again.items():
        cache.get("t", "k", name, load)
    assert [load.calls for load in again.values()] == [0, 0, 0]


def test_many_threads_in_a_small_cache(versions: Versions) -> None:
    cache = ConfigCache(versions, max_entries=5)

    def work(seed: int) -> bool:
        def value(number: int) -> Callable[[], int]:
            return lambda: number

        return all(cache.get("t", "k", n % 11, value(n % 11)) == n % 11 for n in range(seed, seed + 5000))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert len(cache) <= 5
