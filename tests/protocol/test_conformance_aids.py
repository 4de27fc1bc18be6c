"""Aids for certification suites: there where they are asked for, with a token of their own and a banner."""

import dataclasses

import pytest

from app import create_app
from app.domain.tenants import TenantContext
from app.infra.limits import NETWORK_FAILURES, network_of
from app.kernel.settings import Settings, load
from app.web.conformance import ROTATE_KEYS, token_of
from app.web.services import Services
from tests import outbox_rows
from tests.conftest import Http, new_tenant
from tests.protocol.test_token_exchange import events
from tests.protocol.token_side import TokenSide

BANNER = "A certification suite is testing this server."


@pytest.fixture
def tested(services: Services, tenant: TenantContext) -> TokenSide:
    """A server that is there to be certified."""
    settings = dataclasses.replace(services.settings, conformance=True)
    parts = dataclasses.replace(services, settings=settings)
    return TokenSide(parts, tenant, Http(create_app(settings, services=parts), tenant))


def bearer(side: TokenSide) -> dict[str, str]:
    return {"Authorization": "Bearer " + token_of(side.services.deployment_secrets.pepper())}


def published(http: Http) -> dict[str, str]:
    return {key["kid"]: key["alg"] for key in http.get("/jwks").json["keys"]}


def test_keys_rotate_at_once_in_this_tenant(tested: TokenSide) -> None:
    """The next keys sign, those before stay published, it is on record, and nobody else's keys move."""
    parts, tenant = tested.services, tested.tenant
    other = Http(tested.http.app, new_tenant(parts))
    before, others = published(tested.http), published(other)
    current = parts.keyring.current(tenant.id, "RS256").kid
    answer = tested.http.post(ROTATE_KEYS, headers=bearer(tested))
    assert (answer.status_code, answer.data) == (204, b"")
    parts.versions.touch()
    after = published(tested.http)
    assert before.keys() < after.keys()
    assert parts.keyring.current(tenant.id, "RS256").kid in before.keys() - {current}
    assert published(other) == others
    with parts.tenancy.session(tenant.id) as session:
        found = outbox_rows.events(session, "key.rotated")
    assert {event["data"]["via"] for event in found} == {"conformance"}
    assert not events(tested, "key.revoked")


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer x", "Basic x", "Bearer " + "0" * 64])
def test_without_the_token_nothing_moves(tested: TokenSide, given: str) -> None:
    before = published(tested.http)
    answer = tested.http.post(ROTATE_KEYS, headers={"Authorization": given} if given else {})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert tested.http.get(ROTATE_KEYS, headers=bearer(tested)).status_code == 405
    tested.services.versions.touch()
    assert published(tested.http) == before


def test_guessing_is_limited(tested: TokenSide) -> None:
    network = network_of("198.51.100.77")
    counts = [NETWORK_FAILURES.count(tested.tenant.id, network) for _ in range(NETWORK_FAILURES.most)]
    tested.services.state.execute(*counts)
    where = {"environ_base": {"REMOTE_ADDR": "198.51.100.77"}}
    assert tested.http.post(ROTATE_KEYS, headers={"Authorization": "Bearer x"}, **where).status_code == 429


def test_every_page_says_so(tested: TokenSide) -> None:
    for path in ("/sign-in", "/nothing-here"):
        assert BANNER in tested.http.get(path).text


def test_elsewhere_there_is_nothing(services: Services, http: Http) -> None:
    assert services.settings.conformance is False
    headers = {"Authorization": "Bearer " + token_of(services.deployment_secrets.pepper())}
    assert http.post(ROTATE_KEYS, headers=headers).status_code == 404
    assert BANNER not in http.get("/sign-in").text


def test_setting() -> None:
    def read(value: str) -> Settings:
        return load({"WATCHWORD_CONFORMANCE": value}, parse_yaml=lambda text: {})

    assert read("1").conformance is True
    assert read("0").conformance is read("").conformance is False
    with pytest.raises(Exception, match="1 or 0"):
        read("perhaps")
