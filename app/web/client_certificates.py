"""Whose certificate a request's TLS connection was made with, and whom we believe about it.

A proxy's word counts under three conditions: it is one of `WATCHWORD_TRUSTED_PROXIES`, it shows
`WATCHWORD_MTLS_PROXY_SECRET`, and it sends one of the two fields below. Without the secret a client could write them
itself where the proxy's configuration forgot to take them out.
"""

import ssl
from typing import Any, Protocol

from app.infra import certificates
from app.infra.certificates import InvalidCertificate, Presented
from app.kernel.secrets import equal
from app.kernel.settings import Settings
from app.protocols.oauth import errors

SECRET = "HTTP_X_WATCHWORD_PROXY_SECRET"
FIELD = "HTTP_CLIENT_CERT"
"""`Client-Cert` (RFC 9440)."""
ESCAPED = "HTTP_X_SSL_CLIENT_CERT"
"""`X-SSL-Client-Cert`: nginx's `$ssl_client_escaped_cert`."""
VERDICT = "HTTP_X_SSL_CLIENT_VERIFY"
"""`X-SSL-Client-Verify`: `SUCCESS` where an authority of the proxy's issued it (nginx's `$ssl_client_verify`)."""
_OURS = (SECRET, FIELD, ESCAPED, VERDICT)

SOCKET = "gunicorn.socket"


class Trusts(Protocol):
    """Which peers are believed (`web.context.Proxies`)."""

    def trusts(self, peer: str) -> bool:
        """Whether this one is."""
        ...


class ClientCertificates:
    """Finds the certificate of a request. One per process."""

    def __init__(self, settings: Settings, proxies: Trusts) -> None:
        self._secret = settings.mtls_proxy_secret if settings.has_certificates_from_proxy else ""
        self._own_tls = settings.tls_client_ca is not None
        self._proxies = proxies
        self.is_on = bool(self._secret) or self._own_tls

    def of(self, peer: str, environ: dict[str, Any]) -> Presented | None:
        """The certificate, if there is one to believe in. Takes the proxy's fields out of `environ` in any case.

        Raises `OAuthError` for what a trusted proxy sent and is no certificate.
        """
        sent = {name: environ.pop(name, None) for name in _OURS}
        if self._own_tls and isinstance(connection := environ.get(SOCKET), ssl.SSLSocket):
            der = connection.getpeercert(binary_form=True)
            # The context accepts none but those of its authorities.
            return Presented(der, is_verified=True) if der else None
        given = [name for name in (FIELD, ESCAPED) if sent[name]]
        if not given or not self._secret or not self._proxies.trusts(peer):
            return None
        if not equal(sent[SECRET] or "", self._secret):
            return None
        try:
            if len(given) > 1:
                raise InvalidCertificate("both fields are there")
            read = certificates.of_field if given == [FIELD] else certificates.of_escaped
            return Presented(read(sent[given[0]]), is_verified=sent[VERDICT] == "SUCCESS")
        except InvalidCertificate as fault:
            raise errors.CERTIFICATE_MALFORMED(fault.detail) from None
