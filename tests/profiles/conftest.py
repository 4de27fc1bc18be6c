"""A provider at an https issuer, set up as for certification: one person with every claim, two clients of 2014."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from flask import Flask

from app.domain import users
from app.domain.tenants import TenantContext
from app.kernel.settings import Settings
from app.web.services import Services
from tests.conftest import new_tenant
from tests.profiles.browser import Browser
from tests.profiles.relying_party import RelyingParty, ResponseMode, Wire
from tests.protocol.parties import EVERY_CLAIM, new_client

ORIGIN = "https://op.example.org"
CALLBACK = "https://rp.example.com/callback"
OTHER_CALLBACK = "https://rp.example.com/another"
SIGNED_OUT = "https://rp.example.com/signed-out"
USERNAME, PASSWORD = "alice", "correct-horse-battery"
SCOPES = "openid profile email address phone offline_access"


@dataclass(frozen=True)
class Provider:
    """The provider under test, and how to come by browsers and clients."""

    services: Services
    tenant: TenantContext
    app: Flask

    def browser(self) -> Browser:
        """A browser nobody signed in with yet."""
        return Browser(self.app, ORIGIN, USERNAME, PASSWORD)

    def register(self, client_id: str, method: str = "client_secret_basic") -> RelyingParty:
        """A client as the programme's configuration names it."""
        party = new_client(
            self.services,
            self.tenant,
            client_id=client_id,
            redirect_uris=[CALLBACK, OTHER_CALLBACK],
            post_logout_redirect_uris=[SIGNED_OUT],
            grant_types=["authorization_code", "refresh_token"],
            token_endpoint_auth_method=method,
            scope=SCOPES,
            profile="oidc-legacy",
        )
        wire = Wire(self.app, ORIGIN)
        return RelyingParty(wire, self.tenant.issuer, party.client_id, party.secret, CALLBACK, method=method)


@pytest.fixture(scope="session")
def provider(deployment: Settings) -> Iterator[Provider]:
    """The provider, with its person."""
    from app import create_app, wiring

    settings = dataclasses.replace(deployment, base_url=ORIGIN)
    services = wiring.build(settings)
    tenant = new_tenant(services)
    with services.tenancy.session(tenant.id, write=True) as session:
        users.create(
            session,
            username=USERNAME,
            email="alice@example.com",
            email_verified=True,
            password_hash=services.passwords.hash(PASSWORD),
            claims=EVERY_CLAIM,
        )
    yield Provider(services, tenant, create_app(settings, services=services))
    services.close()


@pytest.fixture(scope="session")
def first_client(provider: Provider) -> RelyingParty:
    """The programme's client 1."""
    return provider.register("client-1")


@pytest.fixture(scope="session")
def second_client(provider: Provider) -> RelyingParty:
    """The programme's client 2."""
    return provider.register("client-2")


@pytest.fixture(scope="session")
def post_client(provider: Provider) -> RelyingParty:
    """The client that sends its secret in the body."""
    return provider.register("client-post", "client_secret_post")


@pytest.fixture(params=["query", "form_post"])
def mode(request: pytest.FixtureRequest) -> ResponseMode:
    """How answers come: the Basic plan's way, and the Form Post plan's."""
    chosen: ResponseMode = request.param
    return chosen


@pytest.fixture
def party(first_client: RelyingParty, mode: ResponseMode) -> RelyingParty:
    """Client 1, once with each response mode."""
    return first_client.answering_by(mode)


@pytest.fixture
def browser(provider: Provider) -> Browser:
    """A browser of the test's own."""
    return provider.browser()
