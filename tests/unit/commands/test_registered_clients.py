"""`watchword client list --registered|approve|limit|delete|registration-token`."""

import json

import pytest
from flask import Flask

from app.domain.models import Client, InitialAccessToken
from app.web.services import Services
from tests.protocol.registrations import Made, Registry
from tests.protocol.token_side import refused
from tests.unit.commands.conftest import Watchword


@pytest.fixture
def registry(services: Services, app: Flask) -> Registry:
    return Registry.open(services, app, "token", rules={"approval": True})


@pytest.fixture
def here(registry: Registry) -> tuple[str, ...]:
    return ("--tenant", registry.tenant.slug)


@pytest.fixture
def made(registry: Registry) -> Made:
    return registry.register(client_name="Docs", token=registry.initial_token()[1])


def test_a_token_is_made_shown_once_and_listed(
    watchword: Watchword, registry: Registry, here: tuple[str, ...]
) -> None:
    done = watchword(
        "client", "registration-token", "create", "--name", "Partner", "--days", "2", *here, "--json"
    )
    assert done.status == 0, done.err
    token = done.json["token"]
    assert registry.register(token=token).client_id
    (listed,) = watchword("client", "registration-token", "list", *here, "--json").json
    assert (listed["name"], listed["uses"], listed["max_uses"], listed["usable"]) == ("Partner", 1, 1, False)
    assert token not in json.dumps(listed)
    lines = watchword("client", "registration-token", "list", *here).out
    assert "Partner  used 1 of 1" in lines
    assert "(spent)" in lines
    (record,) = registry.in_outbox("registration.token.created")
    assert record["data"]["via"] == "cli"
    assert token not in str(record)


def test_a_token_may_be_good_for_any_number(
    watchword: Watchword, registry: Registry, here: tuple[str, ...]
) -> None:
    token = watchword("client", "registration-token", "create", "--unlimited", *here).out.strip()
    for _ in range(3):
        registry.register(token=token)


def test_a_token_is_taken_back(watchword: Watchword, registry: Registry, here: tuple[str, ...]) -> None:
    token_id, token = registry.initial_token()
    assert watchword("client", "registration-token", "revoke", token_id, *here).status == 0
    refused(registry.post(token=token), "invalid_token", 401)
    assert watchword("client", "registration-token", "revoke", "nobody", *here).status == 1
    assert len(registry.in_outbox("registration.token.revoked")) == 1


def test_a_token_that_nobody_can_use_is_told(watchword: Watchword, services: Services, app: Flask) -> None:
    registry = Registry.open(services, app, "off")
    done = watchword("client", "registration-token", "create", "--tenant", registry.tenant.slug)
    assert "registration.clients" in done.err


def test_a_client_waits_until_it_is_approved(
    watchword: Watchword, registry: Registry, here: tuple[str, ...], made: Made
) -> None:
    assert not made.is_known()
    (waiting,) = watchword("client", "list", "--pending", *here, "--json").json
    assert (waiting["client_id"], waiting["client_name"], waiting["approved_at"]) == (
        made.client_id,
        "Docs",
        None,
    )
    assert "waits for approval" in watchword("client", "list", "--registered", *here).out
    assert waiting["redirect_hosts"] == ["rp.example"]
    seen = ("--digest", waiting["digest"], *here)
    assert f"rp.example, digest {waiting['digest']}" in watchword("client", "list", "--pending", *here).out
    assert watchword("client", "approve", made.client_id, *here).status == 2
    assert made.put(client_name="Bank", client_secret=made.told["client_secret"]).status_code == 200
    late = watchword("client", "approve", made.client_id, *seen)
    assert (late.status, made.is_known()) == (1, False)
    assert "List it again" in late.err
    (waiting,) = watchword("client", "list", "--pending", *here, "--json").json
    done = watchword("client", "approve", made.client_id, "--digest", waiting["digest"], *here)
    assert done.status == 0
    assert "Bank, sends people to rp.example" in done.out
    assert made.is_known()
    assert watchword("client", "list", "--pending", *here).out == ""
    assert "not used yet" in watchword("client", "list", "--registered", *here).out
    assert len(registry.in_outbox("client.approved")) == 1


def test_a_client_is_limited(
    watchword: Watchword, registry: Registry, here: tuple[str, ...], made: Made
) -> None:
    done = watchword(
        "client", "limit", made.client_id, "--scope", "openid email", "--days", "3", *here, "--json"
    )
    assert done.json["scope_limit"] == ["email", "openid"]
    assert done.json["expires_at"] is not None
    assert made.read().json["scope"] == "openid email"
    assert made.put(scope="openid profile").json["scope"] == "openid"
    assert watchword("client", "limit", made.client_id, "--scope", "profile", *here).status == 1
    assert watchword("client", "limit", made.client_id, *here).status == 2
    assert len(registry.in_outbox("client.limited")) == 1


def test_a_client_is_removed(watchword: Watchword, here: tuple[str, ...], made: Made) -> None:
    assert watchword("client", "delete", made.client_id, *here).status == 0
    refused(made.read(), "invalid_token", 401)
    assert watchword("client", "list", "--registered", *here).out == ""


def test_only_clients_that_registered_themselves(
    watchword: Watchword, registry: Registry, here: tuple[str, ...], made: Made
) -> None:
    with registry.services.tenancy.session(registry.tenant.id, write=True) as session:
        session.add(Client(client_id="ours", metadata_={"redirect_uris": ["https://a.example/cb"]}))
    assert "ours" not in watchword("client", "list", "--registered", *here).out
    assert set(watchword("client", "list", *here).out.split()) == {"ours", made.client_id}
    for command in (("approve", "--digest", "x"), ("limit", "--days", "1")):
        done = watchword("client", command[0], "ours", *command[1:], *here)
        assert done.status == 1
        assert "registered itself" in done.err


def test_pruning_leaves_them(watchword: Watchword, registry: Registry, made: Made) -> None:
    """No file names the clients that register themselves."""
    with registry.services.tenancy.session(registry.tenant.id, write=True) as session:
        session.add(Client(client_id="ours", metadata_={"redirect_uris": ["https://a.example/cb"]}))
    file = json.dumps({"tenants": [{"slug": registry.tenant.slug, "clients": []}]})
    done = watchword("apply", "-", "--prune", stdin=file)
    assert done.status == 0, done.err
    with registry.services.tenancy.session(registry.tenant.id) as session:
        assert [row.client_id for row in session.query(Client)] == [made.client_id]


def test_spent_tokens_are_forgotten(services: Services, registry: Registry) -> None:
    """A week after they expired."""
    from datetime import timedelta

    import time_machine

    from app import housekeeping
    from app.kernel import clock

    registry.initial_token(seconds=60)
    remove = {name: work for name, _, work in housekeeping.jobs(services, None)}["spent rows"]  # type: ignore[arg-type]
    for days, left in ((6, 1), (8, 0)):
        with time_machine.travel(clock.now() + timedelta(days=days), tick=True):
            remove()
        with services.tenancy.session(registry.tenant.id) as session:
            assert session.query(InitialAccessToken).count() == left
