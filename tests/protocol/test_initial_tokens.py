"""Initial access tokens (RFC 7591 section 3): who may register, how often, until when."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from sqlalchemy import select

from app.domain import initial_tokens
from app.domain.models import InitialAccessToken, RegisteredClient
from app.kernel import clock
from app.kernel.errors import Problem
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.protocol.registrations import CALLBACK, Registry, bearer
from tests.protocol.token_side import refused


@pytest.fixture
def registry(services: Services, app: Flask) -> Registry:
    return Registry.open(services, app, "token")


def test_one_is_needed(registry: Registry) -> None:
    answer = registry.post()
    refused(answer, "invalid_token", 401)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="registration"'
    assert registry.refusals() == ["registration.token_missing"]


@pytest.mark.parametrize("header", ["Basic eDp5", "Bearer", "Bearer ", "Bearer a b", "Bearer é", "x" * 9000])
def test_what_is_no_token_is_refused(registry: Registry, header: str) -> None:
    headers = {"Authorization": header.encode().decode("latin-1")}
    answer = registry.http.post("/register", json={"redirect_uris": [CALLBACK]}, headers=headers)
    refused(answer, "invalid_token", 401)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_it_registers_as_many_as_it_says(registry: Registry) -> None:
    token_id, token = registry.initial_token(max_uses=2)
    first = registry.register(token=token)
    registry.register(token=token)
    refused(registry.post(token=token), "invalid_token", 401)
    assert registry.refusals() == ["registration.token_spent"]
    with registry.services.tenancy.session(registry.tenant.id) as session:
        (found,) = initial_tokens.listed(session)
        made = session.get_one(RegisteredClient, (registry.tenant.id, first.client_id))
    assert (found.id, found.uses, made.initial_token_id) == (token_id, 2, token_id)


def test_what_is_refused_uses_nothing_up(registry: Registry) -> None:
    _, token = registry.initial_token()
    refused(registry.post(token=token, redirect_uris=["x"]), "invalid_redirect_uri")
    registry.register(token=token)


def test_it_expires(registry: Registry) -> None:
    _, token = registry.initial_token(seconds=60)
    with time_machine.travel(clock.now() + timedelta(seconds=61), tick=True):
        refused(registry.post(token=token), "invalid_token", 401)
        assert registry.refusals() == ["registration.token_expired"]


def test_it_is_taken_back_and_its_clients_stay(registry: Registry) -> None:
    token_id, token = registry.initial_token(max_uses=None)
    made = registry.register(token=token)
    with registry.services.tenancy.session(registry.tenant.id, write=True) as session:
        assert initial_tokens.revoke(session, token_id).revoked_at is not None
    refused(registry.post(token=token), "invalid_token", 401)
    assert registry.refusals() == ["registration.token_revoked"]
    assert made.read().status_code == 200


def test_a_token_of_another_tenant_is_none(registry: Registry, services: Services, app: Flask) -> None:
    _, token = Registry.open(services, app, "token").initial_token()
    refused(registry.post(token=token), "invalid_token", 401)


def test_only_its_hash_is_kept(registry: Registry) -> None:
    _, token = registry.initial_token()
    with registry.services.tenancy.session(registry.tenant.id) as session:
        row = session.scalars(select(InitialAccessToken)).one()
        assert token not in (row.token_hash, row.id, row.name)


def test_one_that_is_none_is_refused_where_nobody_needs_one(services: Services, app: Flask) -> None:
    """Its bearer means it; and a good one is counted."""
    registry = Registry.open(services, app, "open")
    refused(registry.post(token="x"), "invalid_token", 401)
    _, token = registry.initial_token()
    registry.register(token=token)
    refused(registry.post(token=token), "invalid_token", 401)


def test_of_sixteen_uses_of_one_token_one_wins(registry: Registry) -> None:
    """The database counts: a conditional write in the transaction that makes the client."""
    _, token = registry.initial_token()

    def post(_: int) -> int:
        http = Http(registry.http.app, registry.tenant)
        answer = http.post("/register", json={"redirect_uris": [CALLBACK]}, headers=bearer(token))
        return int(answer.status_code)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(post, range(16)))
    assert found.count(201) == 1
    assert set(found) <= {201, 401, 503}
    with registry.services.tenancy.session(registry.tenant.id) as session:
        assert session.query(RegisteredClient).count() == 1
        assert [each.uses for each in initial_tokens.listed(session)] == [1]


def test_together_clients_are_no_more_than_the_tenant_takes(services: Services, app: Flask) -> None:
    registry = Registry.open(services, app, rules={"max_clients": 3})

    def post(_: int) -> int:
        http = Http(registry.http.app, registry.tenant)
        return int(http.post("/register", json={"redirect_uris": [CALLBACK]}).status_code)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(post, range(16)))
    assert found.count(201) == 3
    assert set(found) <= {201, 403, 503}


@pytest.mark.parametrize(
    ("name", "max_uses", "seconds"),
    [("", 0, 3600), ("", 1, 10), ("", 1, 10**9), ("n" * 201, 1, 3600), ("a\nb", 1, 3600)],
)
def test_tokens_that_cannot_be(services: Services, name: str, max_uses: int, seconds: int) -> None:
    tenant = new_tenant(services)
    pepper = services.deployment_secrets.pepper()
    with (
        services.tenancy.session(tenant.id, write=True) as session,
        pytest.raises(Problem, match=r"good for a minute|name is up to"),
    ):
        initial_tokens.create(session, pepper, name=name, max_uses=max_uses, seconds=seconds, by=None)
