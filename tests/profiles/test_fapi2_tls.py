"""The TLS probes of the FAPI plans, made at both addresses of the shipped nginx configuration (FAPI 2.0 section 5.2.1).

Browsers meet the one, machines that show certificates the other.
"""

import contextlib
import socket
import ssl
import warnings

import pytest

from tests.profiles import front as fronts
from tests.profiles.front import Front, Wire

RECOMMENDED = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
}
"""BCP 195 (RFC 9325 section 4.2), as OpenSSL calls them."""


def through_nginx(function: object) -> object:
    """There is TLS at one front alone."""
    function.fronts = (fronts.NGINX,)  # type: ignore[attr-defined]
    return function


@pytest.fixture(params=["port", "mtls_port"])
def address(request: pytest.FixtureRequest, front: Front) -> tuple[Wire, int]:
    """Where to knock."""
    assert front.wire is not None
    return front.wire, getattr(front.wire, request.param)


def handshake(address: tuple[Wire, int], context: ssl.SSLContext) -> tuple[str, str]:
    """Version and cipher of a connection. Raises `ssl.SSLError` where there is none."""
    wire, port = address
    context.load_verify_locations(str(wire.site.root))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        secured.recv(1)
        cipher, version = secured.cipher() or ("", ""), secured.version() or ""
    return version, cipher[0]


def context_of(version: ssl.TLSVersion, ciphers: str = "ALL:COMPLEMENTOFALL:@SECLEVEL=0") -> ssl.SSLContext:
    """A client that would take anything of this version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers(ciphers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    return context


@through_nginx
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(address: tuple[Wire, int], version: ssl.TLSVersion) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(address, context_of(version))


@through_nginx
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_today_are_spoken(address: tuple[Wire, int], version: ssl.TLSVersion) -> None:
    spoken, _ = handshake(address, context_of(version))
    assert spoken == version.name.replace("_", ".")


@through_nginx
def test_of_tls_1_2_only_what_bcp_195_recommends(address: tuple[Wire, int]) -> None:
    """Every other cipher this machine's library knows is refused, and what is recommended is there."""
    known = context_of(ssl.TLSVersion.TLSv1_2).get_ciphers()
    others = {c["name"] for c in known if c["protocol"] != "TLSv1.3"} - RECOMMENDED
    assert len(others) > 20
    accepted = set()
    for name in others:
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            handshake(address, context_of(ssl.TLSVersion.TLSv1_2, f"{name}:@SECLEVEL=0"))
            accepted.add(name)
    assert accepted == set()
    for size in ("128", "256"):
        cipher = f"ECDHE-ECDSA-AES{size}-GCM-SHA{'256' if size == '128' else '384'}"
        assert handshake(address, context_of(ssl.TLSVersion.TLSv1_2, cipher)) == ("TLSv1.2", cipher)
