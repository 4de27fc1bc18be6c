"""What tokens are bound to: a key the client proves (RFC 9449), its TLS certificate (RFC 8705), or neither."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.domain.clients import ClientRecord
from app.domain.tenants import TenantContext
from app.infra.certificates import Presented
from app.protocols.oauth import dpop, errors, mtls, profiles
from app.protocols.oauth.dpop import Dpop, Proof
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.request import ProtocolRequest
from app.protocols.oauth.trip import Trip

if TYPE_CHECKING:
    from app.protocols.oauth.tokens import AccessToken

JKT, X5T = "jkt", "x5t#S256"
ALGORITHMS = " ".join(dpop.ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Binding:
    """What the tokens of a request are bound to, and what its answer tells of nonces."""

    cnf: Mapping[str, str] | None = None
    """The claim `cnf` (RFC 7800); None: bearer tokens."""
    nonce: str | None = None
    """The nonce to use from now on."""

    @property
    def jkt(self) -> str | None:
        """The thumbprint of the DPoP key."""
        return self.cnf.get(JKT) if self.cnf else None

    @property
    def is_bound(self) -> bool:
        """Whether the tokens are bound at all."""
        return self.cnf is not None


UNBOUND = Binding()


class Sender:
    """Binds tokens to whom they are issued, and checks who presents them. One per process."""

    def __init__(self, proofs: Dpop, mtls_url: str = "") -> None:
        self._dpop = proofs
        self._mtls_url = mtls_url

    def bind(self, request: ProtocolRequest, client: ClientRecord, trip: Trip) -> Binding:
        """What the tokens of a token request are to be bound to, as soon as `trip` has gone.

        A proof binds whoever sends one; the client's registration or profile may demand it. Raises `OAuthError`.
        """
        header, certificate = request.headers.get("dpop"), request.certificate
        demands_certificate = client.certificate_bound
        if not client.dpop_bound and profiles.of(client, request.tenant).sender_constrained:
            demands_certificate = demands_certificate or (header is None and certificate is not None)
            if header is None and not demands_certificate:
                raise errors.BINDING_NEEDED(client.client_id)
        elif header is None and not client.dpop_bound and not demands_certificate:
            return UNBOUND
        cnf: dict[str, str] = {}
        nonce = None
        if header is not None:
            proof = self.proof(request, trip)
            nonce = self._dpop.demand_nonce(request.tenant.id, proof, required=client.dpop_nonce)
            cnf[JKT] = proof.jkt
        elif client.dpop_bound:
            raise errors.DPOP_MISSING(client.client_id)
        if demands_certificate:
            if certificate is None:
                raise errors.CERTIFICATE_NEEDED(client.client_id)
            cnf[X5T] = certificate.thumbprint
        return Binding(cnf, nonce)

    def proof(self, request: ProtocolRequest, trip: Trip, access_token: str | None = None) -> Proof:
        """The proof of a request that has one. Raises `OAuthError`; `trip` tells whether it was used before."""
        return self._proof(
            request.headers.get("dpop"), request.tenant, request.method, request.path, trip, access_token
        )

    def pushed(self, request: ProtocolRequest, client: ClientRecord, trip: Trip) -> Binding:
        """What a pushed authorization request proves of the key its code is to be bound to (RFC 9449 section 10.1)."""
        if "dpop" not in request.headers:
            return UNBOUND
        proof = self.proof(request, trip)
        nonce = self._dpop.demand_nonce(request.tenant.id, proof, required=client.dpop_nonce)
        return Binding({JKT: proof.jkt}, nonce)

    def prove(
        self,
        scheme: str,
        header: str | None,
        tenant: TenantContext,
        method: str,
        path: str,
        access_token: str,
        trip: Trip,
    ) -> Proof | None:
        """The proof that comes with a token at one of our own resources; None where it is presented as Bearer.

        Raises `OAuthError`.
        """
        if scheme != "dpop":
            return None
        return self._proof(header, tenant, method, path, trip, access_token)

    def check(
        self,
        token: "AccessToken",
        proof: Proof | None,
        certificate: Presented | None,
        client: ClientRecord | None,
        tenant: TenantContext,
    ) -> str | None:
        """Check that whoever presents a token holds what it is bound to. Gives the nonce to use from now on, if any.

        Raises `OAuthError`.
        """
        cnf = token.claims.get("cnf")
        if not cnf:
            if proof is not None:
                raise errors.TOKEN_NOT_BOUND()
            return None
        nonce = None
        if (jkt := cnf.get(JKT)) is not None:
            if proof is None:
                raise errors.TOKEN_SCHEME("presented as Bearer")
            if proof.jkt != jkt:
                raise errors.TOKEN_WRONG_KEY("another DPoP key")
            required = client is not None and client.dpop_nonce
            nonce = self._dpop.demand_nonce(tenant.id, proof, required=required)
        elif proof is not None:
            raise errors.TOKEN_NOT_BOUND("presented as DPoP")
        if (x5t := cnf.get(X5T)) is not None and (certificate is None or certificate.thumbprint != x5t):
            raise errors.TOKEN_WRONG_KEY("another certificate, or none")
        return nonce

    def _proof(
        self,
        header: str | None,
        tenant: TenantContext,
        method: str,
        path: str,
        trip: Trip,
        access_token: str | None,
    ) -> Proof:
        if header is None:
            raise errors.DPOP_MISSING()
        uris: tuple[str, ...] = (tenant.issuer + path,)
        if self._mtls_url:
            uris += (mtls.alias(tenant, self._mtls_url) + path,)
        proof = self._dpop.verify(
            header, tenant_id=tenant.id, method=method, uris=uris, access_token=access_token
        )
        trip.add(proof.use, errors.DPOP_REPLAYED)
        return proof


def kind_of(claims: Mapping[str, Any]) -> str:
    """The `token_type` of an access token of these claims."""
    return "DPoP" if JKT in (claims.get("cnf") or ()) else "Bearer"


def challenges(realm: str, error: OAuthError, scope: str = "") -> tuple[tuple[str, str], ...]:
    """The headers of a refusal at a resource: RFC 6750 section 3, RFC 9449 section 7.1.

    A request without a token is told of both schemes and of no error (RFC 6750 section 3.1).
    """
    listed = f'algs="{ALGORITHMS}"'
    said: tuple[str, ...]
    if error.case is errors.TOKEN_MISSING:
        said = (f'Bearer realm="{realm}"', f'DPoP realm="{realm}", {listed}')
    else:
        what = f'realm="{realm}", error="{error.error}", error_description="{error.public}"{scope}'
        if error.error in dpop.ERRORS or error.case in _BOUND:
            said = (f"DPoP {what}, {listed}",)
        else:
            said = (f"Bearer {what}",)
    return (*error.headers, *(("WWW-Authenticate", each) for each in said))


_BOUND = frozenset({errors.TOKEN_SCHEME, errors.TOKEN_WRONG_KEY})
"""Refusals that are about the proof rather than the token."""


def as_resource(error: OAuthError) -> OAuthError:
    """A refusal of a proof as resources say it: 401, where the token endpoint says 400."""
    if error.error in dpop.ERRORS:
        error.status = 401
    return error
