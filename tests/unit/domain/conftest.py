"""A person and two clients in the test's tenant."""

from dataclasses import dataclass

import pytest

from app.domain import clients, users
from app.domain.tenants import TenantContext
from app.web.services import Services


@dataclass(frozen=True, slots=True)
class Cast:
    """Who the tests are about."""

    user_id: str
    other_user_id: str
    client_id: str = "web"
    other_client_id: str = "app"


@pytest.fixture
def cast(services: Services, tenant: TenantContext) -> Cast:
    """Alice and Bob, and the clients `web` and `app`."""
    with services.tenancy.session(tenant.id, write=True) as session:
        for client_id in ("web", "app"):
            clients.create(session, client_id, {"redirect_uris": [f"https://{client_id}.example/cb"]})
        alice = users.create(session, username="alice", email="alice@example.com")
        bob = users.create(session, username="bob")
        return Cast(alice.id, bob.id)
