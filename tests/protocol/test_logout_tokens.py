"""Delivering a logout token: what counts as delivered, what is tried again, and where none is ever sent.

OpenID Connect Back-Channel Logout 1.0 sections 2.4 to 2.8, RFC 8417 section 2.2, contracts 19. The fetcher and the
receiver are real ones.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update

from app.domain import clients
from app.domain.models import Client, Tenant
from app.domain.tenants import TenantContext
from app.infra import jose
from app.infra.fetch import Fetcher
from app.infra.outbox import DeliveryFailed
from app.infra.tenancy import SystemReason
from app.kernel import ids
from app.protocols.oauth.backchannel_logout import (
    ATTEMPTS_REFUSED,
    LOGOUT_EVENT,
    MAX_ANSWER_BYTES,
    TIMEOUT_SECONDS,
    BackchannelLogout,
)
from app.web.services import Services
from tests.conftest import new_tenant
from tests.protocol.parties import new_client
from tests.receiver import Receiver

USER, SESSION = ids.new_id(), ids.new_id()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


class Notice:
    """A client, and the notice to deliver to it."""

    def __init__(self, services: Services, tenant: TenantContext, uri: str, **metadata: Any) -> None:
        self.services, self.tenant = services, tenant
        self.client_id = new_client(services, tenant, backchannel_logout_uri=uri, **metadata).client_id
        self.payload = {"client_id": self.client_id, "session_id": SESSION, "user_id": USER}

    def handler(self, *allow: str) -> BackchannelLogout:
        parts = self.services
        return BackchannelLogout(parts.tenants, parts.clients, parts.keyring, Fetcher(allow))

    def deliver(self, *allow: str) -> Any:
        return self.handler(*(allow or ("127.0.0.1",))).deliver(self.tenant.id, self.payload)

    def refused(self, *allow: str) -> DeliveryFailed:
        with pytest.raises(DeliveryFailed) as fault:
            self.deliver(*(allow or ("127.0.0.1",)))
        assert fault.value.event is not None
        assert fault.value.event.name == "logout.failed"
        assert fault.value.event.reason == "logout.undeliverable"
        return fault.value

    def claims(self, token: str, *algorithms: str) -> dict[str, Any]:
        keys = self.services.keyring.verification_keys(self.tenant.id)
        return dict(jose.verify(token, keys, algorithms=algorithms, typ="logout+jwt").claims)


@pytest.fixture
def notice(services: Services, tenant: TenantContext, receiver: Receiver) -> Notice:
    return Notice(services, tenant, receiver.url())


@pytest.mark.parametrize("status", [200, 204])
def test_understood(notice: Notice, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: (status, {})
    event = notice.deliver()
    assert (event.name, event.outcome) == ("logout.sent", "success")
    assert (event.client_id, event.user_id, event.session_id) == (notice.client_id, USER, SESSION)
    (got,) = receiver.received
    claims = notice.claims(got.token, "RS256")
    assert set(claims) == {"iss", "aud", "iat", "exp", "jti", "events", "sub", "sid"}
    assert claims["events"] == {LOGOUT_EVENT: {}}
    assert (claims["sub"], claims["sid"], claims["aud"]) == (USER, SESSION, notice.client_id)
    assert claims["exp"] - claims["iat"] == 120


def test_every_attempt_has_a_token_of_its_own(notice: Notice, receiver: Receiver) -> None:
    """What was delivered and not noted comes again; a receiver that remembers `jti` takes it for a new one."""
    notice.deliver()
    notice.deliver()
    first, second = (notice.claims(got.token, "RS256") for got in receiver.received)
    assert first["jti"] != second["jti"]
    assert {**first, "jti": 0, "iat": 0, "exp": 0} == {**second, "jti": 0, "iat": 0, "exp": 0}


@pytest.mark.parametrize("status", [201, 202, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 501])
def test_refused(notice: Notice, receiver: Receiver, status: int) -> None:
    """A no is asked for a few times; a redirect is not followed, wherever it leads; 5xx is asked for long."""
    receiver.answer = lambda _: (status, {"Location": receiver.url("/elsewhere")})
    fault = notice.refused()
    assert not fault.permanent
    assert fault.attempts == (None if status >= 500 else ATTEMPTS_REFUSED)
    assert fault.reason == f"{notice.client_id}: answered {status}"
    assert [got.path for got in receiver.received] == ["/logout"]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_not_now(notice: Notice, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: (status, {})
    fault = notice.refused()
    assert (fault.permanent, fault.attempts) == (False, None)


def test_nobody_there(services: Services, tenant: TenantContext) -> None:
    fault = Notice(services, tenant, Receiver().url()).refused()
    assert (fault.permanent, fault.attempts) == (False, None)
    assert fault.reason.endswith("fetch.failed")


def test_too_slow(notice: Notice, receiver: Receiver) -> None:
    def slow(_: object) -> tuple[int, dict[str, str]]:
        time.sleep(TIMEOUT_SECONDS + 2)
        return 200, {}

    receiver.answer = slow
    started = time.monotonic()
    fault = notice.refused()
    assert time.monotonic() - started < TIMEOUT_SECONDS + 1.5
    assert fault.reason.endswith("fetch.timeout")
    assert (fault.permanent, fault.attempts) == (False, None)


def test_too_much(notice: Notice, receiver: Receiver) -> None:
    receiver.body = b"x" * (MAX_ANSWER_BYTES + 1)
    fault = notice.refused()
    assert fault.reason.endswith("fetch.too_large")
    assert fault.attempts == ATTEMPTS_REFUSED


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1/",
        "http://127.0.0.1:1/",
        "http://localhost:1/",
        "https://10.0.0.1/",
        "https://192.168.1.1:8443/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://0.0.0.0/",
        "https://2130706433/",
    ],
)
def test_the_inside_is_not_spoken_to(services: Services, tenant: TenantContext, uri: str) -> None:
    """Contracts 19. Given up at once, and what lies behind a name is not told to the tenant."""
    notice = Notice(services, tenant, uri)
    with pytest.raises(DeliveryFailed) as fault:
        notice.handler().deliver(tenant.id, notice.payload)
    assert fault.value.permanent
    assert fault.value.reason.rpartition(" ")[2] in ("fetch.address", "fetch.url")


def test_who_does_not_want_to_be_told_any_more(notice: Notice, receiver: Receiver) -> None:
    """Removed, disabled, or without an address since: the notice is dropped without a word."""
    services, tenant = notice.services, notice.tenant
    assert notice.handler().deliver(tenant.id, {**notice.payload, "client_id": "nobody"}) is None
    with services.tenancy.session(tenant.id, write=True) as session:
        clients.create(session, "quiet", {"redirect_uris": ["https://app.example/cb"]})
        session.execute(
            update(Client).where(Client.client_id == notice.client_id).values(disabled_at=Client.created_at)
        )
    services.versions.touch()
    assert notice.handler().deliver(tenant.id, {**notice.payload, "client_id": "quiet"}) is None
    assert notice.deliver() is None
    assert receiver.received == []


def test_the_notices_of_a_disabled_tenant_wait(notice: Notice, receiver: Receiver) -> None:
    services, tenant = notice.services, notice.tenant
    with services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = session.get_one(Tenant, tenant.id)
        row.disabled_at = row.created_at
    services.versions.touch()
    with pytest.raises(DeliveryFailed) as fault:
        notice.deliver()
    assert not fault.value.permanent
    assert receiver.received == []


def test_another_tenants_client_is_not_found(notice: Notice, receiver: Receiver, services: Services) -> None:
    assert notice.handler("127.0.0.1").deliver(new_tenant(services).id, notice.payload) is None
    assert receiver.received == []


@pytest.mark.parametrize(
    ("metadata", "alg"),
    [
        ({}, "RS256"),
        ({"id_token_signed_response_alg": "ES256"}, "ES256"),
        ({"profile": "fapi2-security"}, "ES256"),
        ({"profile": "fapi2-security", "id_token_signed_response_alg": "PS256"}, "PS256"),
    ],
)
def test_the_algorithm_is_that_of_id_tokens(
    services: Services, tenant: TenantContext, receiver: Receiver, metadata: dict[str, Any], alg: str
) -> None:
    """Section 2.6, step 3; what the profile does not allow is not used for these either."""
    notice = Notice(services, tenant, receiver.url(), **metadata)
    notice.deliver()
    (got,) = receiver.received
    notice.claims(got.token, alg)


def test_pairwise_subjects(services: Services, tenant: TenantContext, receiver: Receiver) -> None:
    """`sub` is that of the client's ID tokens."""
    notice = Notice(services, tenant, receiver.url(), subject_type="pairwise")
    notice.deliver()
    (got,) = receiver.received
    client = services.clients.get(tenant.id, notice.client_id)
    assert client is not None
    subject = notice.claims(got.token, "RS256")["sub"]
    assert subject == services.keyring.subjects.of(tenant.id, client.sector, USER) != USER
