"""Clients known by their TLS certificate (RFC 8705 section 2), and where they find endpoints that ask for one."""

from app.domain.client_metadata import TLS_METHODS
from app.domain.clients import ClientRecord
from app.domain.tenants import DEFAULT_SLUG, TenantContext
from app.infra import certificates
from app.infra.certificates import Presented
from app.kernel.settings import Settings
from app.protocols.oauth import errors
from app.protocols.oauth.client_keys import ClientKeys

METHODS = TLS_METHODS


def available(settings: Settings) -> tuple[str, ...]:
    """The methods this deployment has. TLS of our own refuses what no authority issued, so it lacks the second."""
    if settings.has_certificates_from_proxy:
        return METHODS
    return METHODS[:1] if settings.tls_client_ca else ()


def alias(tenant: TenantContext, mtls_url: str) -> str:
    """What stands before a tenant's paths at the address that asks for certificates (section 5)."""
    return mtls_url if tenant.slug == DEFAULT_SLUG else f"{mtls_url}/t/{tenant.slug}"


def verify(presented: Presented | None, client: ClientRecord, tenant_id: str, keys: ClientKeys) -> None:
    """Check that the certificate of the request is the client's. Raises `OAuthError`."""
    if presented is None:
        raise errors.CERTIFICATE_MISSING(client.client_id)
    if client.token_endpoint_auth_method == "tls_client_auth":
        _verify_issued(presented, client)
    else:
        _verify_registered(presented, client, tenant_id, keys)


def _verify_issued(presented: Presented, client: ClientRecord) -> None:
    """Section 2.1: an authority vouches for the subject."""
    if not presented.is_verified:
        raise errors.CERTIFICATE_UNTRUSTED(client.client_id)
    _check_time(presented)
    member, value = client.certificate_subject or ("", "")
    if not certificates.names(presented.der, member, value):
        raise errors.CERTIFICATE_WRONG(f"{client.client_id} is known by {member}")


def _verify_registered(presented: Presented, client: ClientRecord, tenant_id: str, keys: ClientKeys) -> None:
    """Section 2.2: the client's key set has this very certificate, or its key where it has keys alone."""
    _check_time(presented)
    if keys.has_certificate(tenant_id, client, presented.der):
        return
    raise errors.CERTIFICATE_WRONG(f"the key set of {client.client_id} does not have it")


def _check_time(presented: Presented) -> None:
    if not certificates.is_in_force(presented.der):
        raise errors.CERTIFICATE_EXPIRED()
