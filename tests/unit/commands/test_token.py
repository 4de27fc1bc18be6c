"""`watchword token explain`: what a token in hand is, and every reason why it is refused."""

from dataclasses import replace
from typing import Any

import pytest
import time_machine
from sqlalchemy import update

from app.domain import clients, codes, grants, users
from app.domain.clients import ClientRecord
from app.domain.models import Client, User
from app.domain.tenants import TenantContext
from app.infra import jose
from app.kernel import clock
from app.protocols.oauth.issuance import Issuance, Subject, issue
from app.protocols.oauth.trip import Trip
from app.web.services import Services
from tests.unit.commands.conftest import Watchword

API = "https://api.example.com"


@pytest.fixture
def client(services: Services, tenant: TenantContext) -> ClientRecord:
    """A client that acts for people."""
    with services.tenancy.session(tenant.id, write=True) as session:
        clients.create(session, "web", {"redirect_uris": ["https://web.example/cb"], "scope": "openid"})
    services.versions.touch()
    found = services.clients.get(tenant.id, "web")
    assert found is not None
    return found


@pytest.fixture
def subject(services: Services, tenant: TenantContext) -> Subject:
    """A person."""
    with services.tenancy.session(tenant.id, write=True) as session:
        return Subject(users.create(session, username="alice").id, 0)


@pytest.fixture
def grant_id(services: Services, tenant: TenantContext, client: ClientRecord, subject: Subject) -> str:
    """A grant of that person to that client."""
    with services.tenancy.session(tenant.id, write=True) as session:
        return grants.create(
            session,
            user_id=subject.user_id,
            client_id=client.client_id,
            session_id="browser",
            scopes=["openid"],
            resources=[],
            auth_time=clock.now(),
            amr=["pwd"],
            acr="1",
            consents=[],
            offline=True,
        ).id


@pytest.fixture
def tokens(
    services: Services, tenant: TenantContext, client: ClientRecord, subject: Subject, grant_id: str
) -> dict[str, str]:
    """What that grant gives."""
    issuance = Issuance(
        tenant=tenant,
        client=client,
        grant_type="authorization_code",
        scopes=("openid",),
        audience=(tenant.issuer,),
        subject=subject,
        grant_id=grant_id,
        session_id="browser",
        auth_time=clock.timestamp(clock.now()),
    )
    made: dict[str, Any] = issue(issuance, services.keyring, {}, Trip(services.state))  # type: ignore[assignment]
    return made


def codes_of(told: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in told["reasons"]]


def test_a_good_access_token(watchword: Watchword, tokens: dict[str, str], tenant: TenantContext) -> None:
    done = watchword("token", "explain", "Bearer " + tokens["access_token"], "--json")
    assert done.status == 0
    assert (done.json["kind"], done.json["tenant"], done.json["good"]) == (
        "a JWT access token",
        tenant.slug,
        True,
    )
    assert done.json["facts"]["username"] == "alice"
    assert "It is good now." in watchword("token", "explain", "-", stdin=tokens["access_token"] + "\n").out


def test_an_expired_one(watchword: Watchword, tokens: dict[str, str]) -> None:
    with time_machine.travel(clock.after(3600), tick=False):
        done = watchword("token", "explain", tokens["access_token"], "--json")
    assert done.status == 1
    assert codes_of(done.json) == ["token.expired"]


def test_one_of_another_environment(
    watchword: Watchword, services: Services, tenant: TenantContext, client: ClientRecord
) -> None:
    elsewhere = replace(tenant, issuer="https://staging.example.com")
    issuance = Issuance(elsewhere, client, "client_credentials", (), (API,))
    token = issue(issuance, services.keyring, {}, Trip(services.state))["access_token"]
    done = watchword("token", "explain", token, "--json")
    assert codes_of(done.json) == ["token.wrong_environment"]
    assert "staging" in done.json["reasons"][0]["detail"]


def test_a_forged_one(watchword: Watchword, tokens: dict[str, str]) -> None:
    head, body, signature = tokens["access_token"].split(".")
    forged = ".".join([head, body, ("A" if signature[0] != "A" else "B") + signature[1:]])
    assert codes_of(watchword("token", "explain", forged, "--json").json) == ["token.signature"]


def test_one_under_a_revoked_key(
    watchword: Watchword, services: Services, tenant: TenantContext, tokens: dict[str, str]
) -> None:
    services.keyring.revoke(tenant.id, jose.unverified(tokens["access_token"]).header["kid"])
    assert codes_of(watchword("token", "explain", tokens["access_token"], "--json").json) == ["key.revoked"]


def test_every_way_of_taking_it_back_is_told(
    watchword: Watchword,
    services: Services,
    tenant: TenantContext,
    tokens: dict[str, str],
    subject: Subject,
    grant_id: str,
) -> None:
    claims = jose.unverified(tokens["access_token"]).claims
    marks = services.revocations
    with services.tenancy.session(tenant.id, write=True) as session:
        marks.revoke_token(session, tenant.id, claims["jti"], clock.after(300))
        grants.revoke(session, tenant.id, grant_id, "by_test", log=marks)
        marks.revoke_session(session, tenant.id, "browser", clock.after(300))
        marks.revoke_user(session, tenant.id, subject.user_id)
        marks.revoke_client(session, tenant.id, "web")
    explained = watchword("token", "explain", tokens["access_token"], "--json").json
    told = codes_of(explained)
    assert told == ["token.revoked", "grant.revoked", "session.revoked", "user.epoch", "client.epoch"]
    assert "by_test" in explained["reasons"][1]["detail"], "why, once and with its detail"


def test_people_and_clients_that_are_gone(
    watchword: Watchword, services: Services, tenant: TenantContext, tokens: dict[str, str]
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        session.execute(update(User).values(disabled_at=clock.now()))
        session.execute(update(Client).values(disabled_at=clock.now()))
    told = codes_of(watchword("token", "explain", tokens["access_token"], "--json").json)
    assert told == ["client.disabled", "user.disabled"]


def test_an_id_token_opens_no_api(watchword: Watchword, tokens: dict[str, str]) -> None:
    done = watchword("token", "explain", tokens["id_token"], "--json")
    assert done.json["kind"] == "an ID token"
    assert (done.status, codes_of(done.json)) == (0, [])
    said = watchword("token", "explain", tokens["id_token"]).out
    assert "It is a good ID token for client " in said
    assert "APIs refuse it." in said


def test_a_refresh_token(
    watchword: Watchword, services: Services, tenant: TenantContext, grant_id: str
) -> None:
    with services.tenancy.session(tenant.id, write=True) as session:
        token = services.refresh_tokens.start(session, tenant.id, grant_id, expires_at=clock.after(60))
    assert watchword("token", "explain", token).status == 0
    with services.tenancy.session(tenant.id, write=True) as session:
        newer = services.refresh_tokens.present(
            session,
            tenant.id,
            token,
            client_id="web",
            grace_seconds=10,
            rotate=True,
            log=services.revocations,
        ).token
    assert newer is not None
    assert codes_of(watchword("token", "explain", token, "--json").json) == ["refresh.replaced"]
    forged = newer[:-2] + ("AA" if newer[-2:] != "AA" else "BB")
    assert codes_of(watchword("token", "explain", forged, "--json").json) == ["token.signature"]
    with services.tenancy.session(tenant.id, write=True) as session:
        grants.revoke(session, tenant.id, grant_id, "by_test", log=services.revocations)
    told = watchword("token", "explain", newer, "--json")
    assert codes_of(told.json) == ["refresh.revoked", "grant.revoked"]
    assert newer.split(".")[2] not in told.out


def test_an_authorization_code(
    watchword: Watchword, services: Services, tenant: TenantContext, grant_id: str, subject: Subject
) -> None:
    record = codes.CodeRecord(
        grant_id=grant_id,
        client_id="web",
        user_id=subject.user_id,
        user_epoch=0,
        redirect_uri="https://web.example/cb",
        redirect_uri_given=True,
        code_challenge=None,
        nonce=None,
        scopes=("openid",),
        resources=(),
        session_id=None,
        session_expires_at=None,
        auth_time=0,
        amr=(),
        acr="1",
        offline=False,
        claims_request={},
        expires_at=clock.timestamp(clock.after(60)),
    )
    code, operation = codes.new(tenant.id, record)
    services.state.execute(operation)
    assert watchword("token", "explain", code).status == 0
    with services.tenancy.session(tenant.id, write=True) as session:
        grants.redeem(session, grant_id)
    assert codes_of(watchword("token", "explain", code, "--json").json) == ["code.replayed"]


@pytest.mark.parametrize(
    ("token", "reason"),
    [("", "token.missing"), ("nobody-knows-me", "token.unknown"), ("a.b.c", "token.malformed")],
)
def test_what_is_no_token(watchword: Watchword, tenant: TenantContext, token: str, reason: str) -> None:
    done = watchword("token", "explain", "--json", "--", token)
    assert done.status == 1
    assert codes_of(done.json) == [reason]
