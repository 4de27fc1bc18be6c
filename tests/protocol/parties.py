"""Clients, people and codes for tests of the token side, made the way the server makes them."""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from app.domain import clients, codes, consents, grants, users
from app.domain.access import rbac
from app.domain.assurance import ONE_FACTOR, TWO_FACTOR
from app.domain.codes import CodeRecord
from app.domain.models import Group, Resource, ResourceScope, UserGroup
from app.domain.tenants import TenantContext
from app.infra import jose
from app.kernel import clock, ids
from app.web.services import Services

REDIRECT_URI = "https://app.example/cb"
API = "https://api.example.com"
OTHER_API = "https://other.example.com"
TWO_FACTORS: dict[str, Any] = {"amr": ("pwd", "otp", "mfa"), "acr": TWO_FACTOR}
"""Of a code: what administrators show."""


@dataclass(frozen=True)
class Party:
    """A registered client and its secret."""

    client_id: str
    secret: str

    @property
    def basic(self) -> dict[str, str]:
        return basic(self.client_id, self.secret)


def basic(client_id: str, secret: str) -> dict[str, str]:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
    return {"Authorization": "Basic " + base64.b64encode(pair).decode()}


def new_client(services: Services, tenant: TenantContext, **metadata: Any) -> Party:
    """A client with a generated secret; by default one for every grant, with every scope the tests use."""
    client_id = metadata.pop("client_id", f"client-{secrets.token_hex(4)}")
    issued = services.client_secrets.issue()
    sealed = services.client_secrets.seal(tenant.id, client_id, issued.secret)
    public = metadata.get("token_endpoint_auth_method") in ("none", "private_key_jwt")
    said = {
        "redirect_uris": [REDIRECT_URI],
        "grant_types": ["authorization_code", "refresh_token"]
        + ([] if metadata.get("token_endpoint_auth_method") == "none" else ["client_credentials"]),
        "scope": "openid profile email address phone groups offline_access read write",
        **metadata,
    }
    with services.tenancy.session(tenant.id, write=True) as session:
        clients.create(
            session,
            client_id,
            said,
            secret_hash=None if public else issued.stored,
            secret_sealed=sealed if said.get("token_endpoint_auth_method") == "client_secret_jwt" else None,
        )
    services.versions.touch()
    return Party(client_id, issued.secret)


def new_resource(
    services: Services,
    tenant: TenantContext,
    identifier: str = API,
    scopes: str = "read write",
    **members: Any,
) -> str:
    """A resource with these scopes."""
    with services.tenancy.session(tenant.id, write=True) as session:
        row = Resource(id=ids.new_id(), identifier=identifier, name=identifier, **members)
        session.add(row)
        session.flush()
        session.add_all(ResourceScope(resource_id=row.id, name=s, description=s) for s in scopes.split())
    services.versions.touch()
    return identifier


EVERY_CLAIM: dict[str, Any] = {
    "name": "Alice Adams",
    "given_name": "Alice",
    "family_name": "Adams",
    "middle_name": "B",
    "nickname": "al",
    "profile": "https://example.com/alice",
    "picture": "https://example.com/alice.png",
    "website": "https://example.com",
    "gender": "female",
    "birthdate": "1990-01-01",
    "zoneinfo": "Europe/Berlin",
    "locale": "en",
    "phone_number": "+491234567",
    "phone_number_verified": True,
    "address": {"country": "DE"},
}


def new_user(
    services: Services, tenant: TenantContext, *, groups: tuple[str, ...] = (), role: str = ""
) -> str:
    """A person with every standard claim. Gives the id."""
    name = f"alice-{secrets.token_hex(4)}"
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.create(
            session,
            username=name,
            email=f"{name}@example.com",
            email_verified=True,
            claims=EVERY_CLAIM,
        )
        for group_name in groups:
            group = Group(id=ids.new_id(), name=group_name)
            session.add(group)
            session.flush()
            session.add(UserGroup(user_id=user.id, group_id=group.id))
        if role:
            rbac.give_role(session, user.id, role)
        user_id = user.id
    services.versions.touch()
    return user_id


@dataclass(frozen=True)
class Code:
    """An authorization code as the client holds it."""

    code: str
    verifier: str
    grant_id: str
    record: CodeRecord

    def form(self, **more: str) -> dict[str, str]:
        return {
            "grant_type": "authorization_code",
            "code": self.code,
            "redirect_uri": self.record.redirect_uri,
            "code_verifier": self.verifier,
            **more,
        }


def s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def new_code(
    services: Services,
    tenant: TenantContext,
    party: Party,
    user_id: str,
    scope: str = "openid profile email",
    *,
    resources: tuple[str, ...] | None = None,
    pkce: bool = True,
    nonce: str | None = "n-1",
    claims_request: dict[str, Any] | None = None,
    session_id: str | None = None,
    session_seconds: int = 3600,
    code_seconds: int = 60,
    amr: tuple[str, ...] = ("pwd",),
    acr: str = ONE_FACTOR,
    consented: bool = True,
    **came_from: str,
) -> Code:
    """What the authorization endpoint leaves behind once a person allowed access, or was not asked to."""
    scopes = tuple(scope.split())
    verifier = secrets.token_urlsafe(48)
    session_id = session_id or ids.new_id()
    with services.tenancy.session(tenant.id, write=True) as session:
        user = users.get(session, user_id)
        assert user is not None
        wanted = {"": frozenset(scopes)}
        consent = consents.allow(session, user_id, party.client_id, wanted) if consented else []
        grant = grants.create(
            session,
            user_id=user_id,
            client_id=party.client_id,
            session_id=session_id,
            scopes=scopes,
            resources=resources or (tenant.issuer,),
            auth_time=clock.now(),
            amr=amr,
            acr=acr,
            offline="offline_access" in scopes,
            consents=consent,
            claims_request=claims_request,
            **came_from,
        )
        record = CodeRecord(
            grant_id=grant.id,
            client_id=party.client_id,
            user_id=user_id,
            user_epoch=user.epoch,
            redirect_uri=REDIRECT_URI,
            redirect_uri_given=True,
            code_challenge=s256(verifier) if pkce else None,
            nonce=nonce,
            scopes=scopes,
            resources=resources or (tenant.issuer,),
            session_id=session_id,
            session_expires_at=clock.timestamp(clock.after(session_seconds)),
            auth_time=clock.timestamp(grant.auth_time),
            amr=amr,
            acr=acr,
            offline="offline_access" in scopes,
            claims_request=claims_request or {},
            expires_at=clock.timestamp(clock.after(code_seconds)),
        )
        grant_id = grant.id
    code, put = codes.new(tenant.id, record)
    services.state.execute(put)
    return Code(code, verifier, grant_id, record)


def read_token(services: Services, tenant: TenantContext, token: str) -> jose.Verified:
    """Header and claims of a token of the tenant, its signature verified."""
    return jose.verify(
        token, services.keyring.verification_keys(tenant.id), algorithms=jose.SIGNING_ALGORITHMS
    )
