"""A client credentials request that comes again word for word is not interpreted again, and nothing is lost by it
(docs/decisions/0007-the-token-path.md). Each test asks once first, so that what follows is remembered."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select

from app.domain import registered_clients
from app.domain.models import Client, Resource
from app.infra.limits import CLIENT_FAILURES
from app.infra.state import Delete
from app.kernel import clock
from app.protocols.oauth import repeated
from app.protocols.oauth.client_auth import ClientAuthentication
from app.protocols.oauth.grants.client_credentials import ClientCredentials
from app.protocols.oauth.repeated import Repeated
from app.protocols.oauth.request import ProtocolRequest
from app.web import edge
from tests.conftest import Http, new_tenant
from tests.protocol import parties
from tests.protocol.parties import API, Party
from tests.protocol.test_client_auth import elsewhere
from tests.protocol.test_tenant_settings import decide
from tests.protocol.token_side import TokenSide, refused, side

__all__ = ["side"]

CC = {"grant_type": "client_credentials", "scope": "read"}


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with every request that Authlib's grant sees."""
    seen: list[int] = []
    generate = ClientCredentials.generate_token

    def counting(self: ClientCredentials, *args: Any, **named: Any) -> Any:
        seen.append(1)
        return generate(self, *args, **named)

    monkeypatch.setattr(ClientCredentials, "generate_token", counting)
    return seen


def _change(side: TokenSide, change: Callable[[Any], None], model: type = Client, key: str = "") -> None:
    with side.services.tenancy.session(side.tenant.id, write=True) as session:
        rows = select(model).where(model.client_id == key) if model is Client else select(model)
        for row in session.scalars(rows):
            change(row)
    side.services.versions.touch()


def test_it_is_interpreted_once_and_every_token_is_another(side: TokenSide, interpreted: list[int]) -> None:
    side.client_token(side.client())  # The tenant's first token makes its keys, which is a change.
    interpreted.clear()
    client = side.client()
    tokens = [side.post("/token", CC, client).json for _ in range(3)]
    assert len(interpreted) == 1
    read = [side.read(token["access_token"]).claims for token in tokens]
    assert len({claims["jti"] for claims in read}) == 3
    assert {(claims["aud"], claims["scope"], claims["sub"]) for claims in read} == {
        (API, "read", client.client_id)
    }
    assert all({**token, "access_token": ""} == {**tokens[0], "access_token": ""} for token in tokens)


@pytest.mark.parametrize(
    "other",
    [
        {"grant_type": "client_credentials", "scope": "write"},
        {"grant_type": "client_credentials"},
        {"grant_type": "client_credentials", "scope": "read", "resource": API},
        {"grant_type": "client_credentials", "scope": "read", "extra": "x"},
    ],
)
def test_another_request_is_another(side: TokenSide, interpreted: list[int], other: dict[str, str]) -> None:
    client = side.client()
    side.post("/token", CC, client)
    assert side.post("/token", other, client).status_code == 200
    assert len(interpreted) == 2


def test_a_wrong_secret_is_refused(side: TokenSide) -> None:
    client = side.client()
    side.post("/token", CC, client)
    wrong = Party(client.client_id, client.secret[:-1] + "~")
    refused(side.post("/token", CC, wrong, **elsewhere()), "invalid_client", 401)


def test_another_tenant_does_not_know_it(side: TokenSide) -> None:
    other = new_tenant(side.services)
    there = TokenSide(side.services, other, Http(side.http.app, other))
    parties.new_resource(side.services, other, API)
    client = side.client()
    side.post("/token", CC, client)
    refused(there.post("/token", CC, client, **elsewhere()), "invalid_client", 401)


def test_a_disabled_client_is_refused(side: TokenSide) -> None:
    client = side.client()
    side.post("/token", CC, client)
    _change(side, lambda row: setattr(row, "disabled_at", clock.now()), key=client.client_id)
    refused(side.post("/token", CC, client, **elsewhere()), "invalid_client", 401)


def test_a_narrowed_registration_holds(side: TokenSide) -> None:
    client = side.client()
    side.post("/token", CC, client)
    _change(
        side, lambda row: setattr(row, "metadata_", {**row.metadata_, "scope": "write"}), key=client.client_id
    )
    refused(side.post("/token", CC, client), "invalid_scope")


def test_a_resource_that_is_gone_is_gone(side: TokenSide) -> None:
    tenant = new_tenant(side.services)
    there = TokenSide(side.services, tenant, Http(side.http.app, tenant))
    parties.new_resource(side.services, tenant, API)
    client = there.client(scope="read")
    assert there.post("/token", CC, client).status_code == 200
    with side.services.tenancy.session(tenant.id, write=True) as session:
        for row in session.scalars(select(Resource)):
            session.delete(row)
    side.services.versions.touch()
    assert there.post("/token", CC, client).status_code == 400


def test_a_former_secret_ends_on_time(side: TokenSide) -> None:
    """It is good until a moment, and nothing about the client changes then."""
    client = side.client()
    new = side.services.client_secrets.issue()

    def rotate(row: Client) -> None:
        side.services.client_secrets.retire(row, 60)
        row.secret_hash = new.stored

    _change(side, rotate, key=client.client_id)
    assert side.post("/token", CC, client).status_code == 200
    with time_machine.travel(clock.now() + timedelta(seconds=61), tick=True):
        refused(side.post("/token", CC, client, **elsewhere()), "invalid_client", 401)


def test_a_former_secret_is_not_remembered_at_its_last_moment(
    side: TokenSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Verified just before its end, and remembered just after it would be."""
    client = side.client()
    new = side.services.client_secrets.issue()

    def rotate(row: Client) -> None:
        side.services.client_secrets.retire(row, 60)
        row.secret_hash = new.stored

    _change(side, rotate, key=client.client_id)
    verify = ClientAuthentication._verify
    with time_machine.travel(clock.now() + timedelta(seconds=59.9), tick=False) as travel:
        with monkeypatch.context() as patch:

            def slowly(self: ClientAuthentication, *args: Any, **named: Any) -> Any:
                found = verify(self, *args, **named)
                travel.shift(0.2)
                return found

            patch.setattr(ClientAuthentication, "_verify", slowly)
            assert side.post("/token", CC, client).status_code == 200
        refused(side.post("/token", CC, client), "invalid_client", 401)


def test_what_a_tenant_was_before_its_request_had_come_is_not_remembered(
    side: TokenSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client takes its time over the body, while the tenant's rules become stricter."""
    tenant = new_tenant(side.services)
    there = TokenSide(side.services, tenant, Http(side.http.app, tenant))
    parties.new_resource(side.services, tenant, API)
    there.client_token(there.client(scope="read"))  # Makes the tenant's first key, which is a change as well.
    client = there.client(scope="read")
    read, stricter = edge._body, iter([{"profile": "fapi2-security"}])

    def slowly(*args: Any) -> bytes:
        body = read(*args)
        for settings in stricter:
            decide(side.services, tenant, **settings)
        return body

    monkeypatch.setattr(edge, "_body", slowly)
    assert there.post("/token", CC, client).status_code == 200, "this one came under the rules of before"
    refused(there.post("/token", CC, client), "invalid_client", 401)


def test_where_somebody_guessed_too_often_it_is_refused(side: TokenSide) -> None:
    client, where = side.client(), elsewhere()
    assert side.post("/token", CC, client, **where).status_code == 200
    wrong = Party(client.client_id, "no")
    for _ in range(CLIENT_FAILURES.most):
        side.post("/token", CC, wrong, **where)
    assert side.post("/token", CC, client, **where).status_code == 429


def test_what_is_good_once_or_shown_by_the_connection_is_never_remembered(side: TokenSide) -> None:
    def may_be(form: dict[str, str], **headers: str) -> bool:
        request = ProtocolRequest("POST", "token", side.tenant, form, headers, "127.0.0.1", "x")
        return repeated.may_be(request)

    assert not may_be({**CC, "client_assertion": "x", "client_assertion_type": "y"})
    assert not may_be(CC, dpop="proof")
    assert not may_be({**CC, "grant_type": "refresh_token"})
    assert may_be(CC, authorization="Basic x")


def test_words_are_told_apart() -> None:
    """Wherever they are divided."""
    memory = Repeated()
    words = "tenant", "Basic x", "127.0.0.1", "agent", b"scope=read"
    others = {
        memory.digest_of("other", "Basic x", "127.0.0.1", "agent", b"scope=read"),
        memory.digest_of("tenant", "Basic y", "127.0.0.1", "agent", b"scope=read"),
        memory.digest_of("tenant", "Basic x", "127.0.0.2", "agent", b"scope=read"),
        memory.digest_of("tenant", "Basic x", "127.0.0.1", "other", b"scope=read"),
    }
    assert (
        len(
            {
                memory.digest_of(*words),
                memory.digest_of("tenant", "Basic x", "127.0.0.1", "agent", b"scope=write"),
                *others,
            }
        )
        == 6
    )
    assert memory.digest_of(*words) == memory.digest_of(*words)
    assert memory.digest_of(*words) != Repeated().digest_of(*words)
    assert memory.digest_of("t", "ab", "c", "", b"") != memory.digest_of("t", "a", "bc", "", b"")


def test_the_record_is_the_same_but_for_id_time_and_token(
    side: TokenSide, monkeypatch: pytest.MonkeyPatch, interpreted: list[int]
) -> None:
    """A template makes it, of what was looked at and found clean the first time."""
    client = side.client()
    records: list[dict[str, Any]] = []
    execute = side.services.state.execute

    def seeing(*operations: Any) -> Any:
        entries = (o.entry for o in operations if type(o).__name__ == "Append")
        records.extend(found for entry in entries if (found := json.loads(entry))["event"] == "token.issued")
        return execute(*operations)

    side.client_token(client)
    interpreted.clear()
    monkeypatch.setattr(side.services.state, "execute", seeing)
    tokens = [side.read(side.post("/token", CC, client).json["access_token"]).claims for _ in range(2)]
    assert len(interpreted) == 1
    first, again = records
    assert list(first) == list(again)
    assert [record["data"].pop("token_id") for record in records] == [claims["jti"] for claims in tokens]
    ids, times = ([record.pop(name) for record in records] for name in ("id", "time"))
    assert ids[0] != ids[1]
    # Ordered by the millisecond they begin with.
    assert ids[0][:13] <= ids[1][:13]
    assert times[0] < times[1]
    assert first == again


def test_from_elsewhere_it_is_another(side: TokenSide, interpreted: list[int]) -> None:
    client = side.client()
    side.post("/token", CC, client)
    side.post("/token", CC, client, **elsewhere())
    side.post("/token", CC, client, headers={"User-Agent": "another"})
    assert len(interpreted) == 3


def test_an_opaque_token_is_another_each_time(side: TokenSide, interpreted: list[int]) -> None:
    side.client_token(side.client())
    identifier = "https://opaque.example.com"
    parties.new_resource(side.services, side.tenant, identifier, "unseen", access_token_format="opaque")
    client = side.client(scope="unseen")
    interpreted.clear()
    asked = {**CC, "scope": "unseen"}
    tokens = [side.post("/token", asked, client).json["access_token"] for _ in range(2)]
    assert len(interpreted) == 1
    assert tokens[0] != tokens[1]
    assert tokens[0].count(".") == 0
    assert all(side.introspect(client, token)["active"] is True for token in tokens)


def test_each_is_put_on_record(side: TokenSide, monkeypatch: pytest.MonkeyPatch) -> None:
    client = side.client()
    entries = []
    execute = side.services.state.execute

    def seeing(*operations: Any) -> Any:
        entries.extend(o.entry for o in operations if type(o).__name__ == "Append")
        return execute(*operations)

    monkeypatch.setattr(side.services.state, "execute", seeing)
    for _ in range(3):
        side.post("/token", CC, client)
    assert sum(b'"token.issued"' in entry and client.client_id.encode() in entry for entry in entries) == 3


def test_every_use_of_a_client_that_registered_itself_is_noted(
    side: TokenSide, interpreted: list[int]
) -> None:
    """A service that asks for the same in the same words all day is in use, and is not tidied up as unused."""
    rules = {"grant_types": ["client_credentials"], "scopes": ["read"]}
    decide(side.services, side.tenant, registration={"clients": "open", "client_rules": rules})
    said = {"grant_types": ["client_credentials"], "response_types": [], "scope": "read"}
    made = side.http.post("/register", json=said).json
    client = Party(made["client_id"], made["client_secret"])
    side.client_token(client)
    interpreted.clear()
    for _ in range(2):
        side.services.state.execute(Delete(registered_clients.use_key(side.tenant.id, client.client_id)))
        side.client_token(client)
        used = registered_clients.used_of(side.services.state, side.tenant.id, [client.client_id])
        assert used == [client.client_id]
    assert interpreted == []
