"""A passkey in software for programs that are given challenges, and not the pages around them."""

import json
from typing import Any

from app.domain import authenticators, users
from app.domain.models import Authenticator
from app.domain.tenants import TenantContext
from app.kernel import clock
from app.kernel.secrets import b64url
from app.protocols.login.factors import passkey
from app.web.services import Services
from tests.soft_passkey import SoftPasskey


class SecurityKey(SoftPasskey):
    """One device-bound credential for one relying party, asked by challenge alone."""

    def __init__(self, rp_id: str, origin: str) -> None:
        super().__init__(origin, synced=False, verifies=True)
        self.rp_id = rp_id

    def attest(self, challenge: str) -> dict[str, Any]:
        """The answer to `navigator.credentials.create`."""
        asked = {"rp": {"id": self.rp_id}, "user": {"id": b64url(self.handle)}, "attestation": "none"}
        found: dict[str, Any] = json.loads(self.create({**asked, "challenge": challenge}))
        return found

    def sign(self, challenge: str, *, verified: bool = True, origin: str = "") -> dict[str, Any]:
        """The answer to `navigator.credentials.get`, made elsewhere or by somebody unknown where that is said."""
        self.counter += 1
        here, self.origin = self.origin, origin or self.origin
        self.verifies = verified
        found: dict[str, Any] = json.loads(self.get({"rpId": self.rp_id, "challenge": challenge}))
        self.origin, self.verifies = here, True
        return found


def new_key(services: Services, tenant: TenantContext) -> SecurityKey:
    """A key nobody registered yet."""
    return SecurityKey(passkey.rp_id(tenant), passkey.origins(tenant)[0])


def registered(services: Services, tenant: TenantContext, user_id: str) -> SecurityKey:
    """The key of somebody."""
    made = new_key(services, tenant)
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        made.handle = passkey.handle_of(services.deployment_secrets.pepper(), user)
        session.add(
            Authenticator(
                user_id=user_id,
                kind=authenticators.PASSKEY,
                name="Key",
                lookup=b64url(made.id),
                data={
                    "public_key": b64url(made.public_key),
                    "user_handle": b64url(made.handle),
                    "aaguid": "",
                    "transports": [],
                    "synced": False,
                    "backed_up": False,
                },
                counter=0,
                confirmed_at=clock.now(),
            )
        )
    return made
