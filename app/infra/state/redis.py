"""State in Redis 7.0 or newer, or Valkey: a batch is one command, a Lua script, or `GETEX` for a single `Get`."""

from collections.abc import Sequence
from typing import Any

import redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from app.infra.page_slots import give_way
from app.infra.state import REPEATABLE, Entry, Op, Outcome, Replay, wire
from app.infra.state.redis_pool import Pool, facts_of, pipeline, run, unavailable
from app.kernel.errors import Unavailable

GROUP = b"watchword"
_MINIMUM_VERSION = (7, 0)


class RedisState:
    """The state store on a Redis master. See `infra.state.StateStore`."""

    def __init__(
        self, url: str, *, pool_size: int = 32, timeout_seconds: float = 2.0, lease_seconds: float = 30
    ) -> None:
        """`pool_size` is how many idle connections are kept: as many as there are threads.

        Nothing is connected before the first use, so that it happens after a fork.
        """
        self._pool = Pool(url, size=pool_size, timeout_seconds=timeout_seconds)
        self._lease = b"%d" % int(lease_seconds * 1000)

    def guard(self, replay: Replay) -> None:
        """See `StateStore.guard`."""
        self._pool.replay = replay

    def execute(self, *operations: Op) -> Outcome:
        """See `StateStore.execute`. A batch that is safe to repeat is sent once more when its connection breaks."""
        if not operations:
            return Outcome(())
        give_way()
        repeatable = all(type(op) in REPEATABLE for op in operations)
        link = self._pool.take(repeatable)
        try:
            outcome = run(link, operations)
        except redis.TimeoutError as fault:
            raise self._pool.broken(link, fault) from fault
        except redis.ConnectionError as fault:
            problem = self._pool.broken(link, fault)
            if not repeatable:
                raise problem from fault
            return self._again(operations)
        except RedisError as fault:
            raise self._pool.broken(link, fault) from fault
        self._pool.give_back(link)
        return outcome

    def _again(self, operations: Sequence[Op]) -> Outcome:
        link = self._pool.connect()
        try:
            outcome = run(link, operations)
        except RedisError as fault:
            raise self._pool.broken(link, fault) from fault
        self._pool.give_back(link)
        return outcome

    def read_stream(
        self, tenant_ids: Sequence[str], stream: str, consumer: str, *, count: int
    ) -> dict[str, list[Entry]]:
        """See `StateStore.read_stream`: XAUTOCLAIM for what others left behind, then XREADGROUP, all in one trip."""
        arguments = (GROUP, consumer.encode(), self._lease, b"%d" % count)
        streams = [wire.stream_of(tenant_id, stream) for tenant_id in tenant_ids]
        digest = wire.sha(wire.READ_STREAM)
        answers = self._commands([wire.pack(b"EVALSHA", digest, b"1", s, *arguments) for s in streams])
        for at, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                (answers[at],) = self._commands(
                    [wire.pack(b"EVAL", wire.READ_STREAM, b"1", streams[at], *arguments)]
                )
        _raise_first(answers)
        return {t: _entries(answer) for t, answer in zip(tenant_ids, answers, strict=True) if answer}

    def acknowledge(self, tenant_id: str, stream: str, entry_ids: Sequence[str]) -> None:
        """See `StateStore.acknowledge`."""
        if not entry_ids:
            return
        name, ids = wire.stream_of(tenant_id, stream), [entry_id.encode() for entry_id in entry_ids]
        _raise_first(self._commands([wire.pack(b"XACK", name, GROUP, *ids), wire.pack(b"XDEL", name, *ids)]))

    def purge_expired(self) -> int:
        """Nothing: Redis forgets by itself."""
        return 0

    def check(self) -> None:
        """See `StateStore.check`. Asks for the role as well."""
        (role,) = self._commands([wire.pack(b"ROLE")])
        if isinstance(role, ResponseError) or role[0] != b"master":
            raise Unavailable("state.not_master", detail=f"Redis is no master: {role}")

    def doctor(self) -> list[str]:
        """See `StateStore.doctor`."""
        info, config = self._commands(
            [
                wire.pack(b"INFO", b"server"),
                wire.pack(b"CONFIG", b"GET", b"appendonly", b"maxmemory-policy"),
            ]
        )
        _raise_first([info])
        facts = facts_of(info)
        advice = []
        if tuple(map(int, facts["redis_version"].split(".")[:2])) < _MINIMUM_VERSION:
            advice.append(f"Redis is {facts['redis_version']}; use 7.0 or newer.")
        if isinstance(config, ResponseError):
            return [
                *advice,
                "CONFIG GET is not allowed: make sure that appendonly is yes and maxmemory-policy noeviction.",
            ]
        options = {config[i].decode(): config[i + 1].decode() for i in range(0, len(config), 2)}
        if options.get("appendonly") != "yes":
            advice.append("Redis has appendonly no: a restart signs everybody out. Set `appendonly yes`.")
        if options.get("maxmemory-policy") != "noeviction":
            policy = options.get("maxmemory-policy")
            advice.append(
                f"Redis has maxmemory-policy {policy}: sessions vanish at will. Set `maxmemory-policy noeviction`."
            )
        return advice

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def _commands(self, packed: list[bytes]) -> list[Any]:
        link = self._pool.take(repeatable=False)
        try:
            answers = pipeline(link, packed)
        except RedisError as fault:
            raise self._pool.broken(link, fault) from fault
        self._pool.give_back(link)
        return answers


def _raise_first(answers: list[Any]) -> None:
    for answer in answers:
        if isinstance(answer, ResponseError):
            raise unavailable(answer) from answer


def _entries(raw: list[Any]) -> list[Entry]:
    return [Entry(entry_id.decode(), fields[1]) for entry_id, fields in raw]
