"""Mutual TLS (RFC 8705): clients known by certificate, tokens bound to one, and whose word counts about them.

Here a trusted proxy's fields are written by the test; `tests/interop/test_mtls_behind_nginx.py` has a real one.
"""

import dataclasses
import ipaddress
from typing import Any

import pytest

from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.protocol import parties
from tests.protocol.banks import reasons
from tests.protocol.certified import EVERY_ALTERNATIVE, Authority, Certified, certified
from tests.protocol.key_server import KeyServer
from tests.protocol.parties import Party
from tests.protocol.prover import Prover
from tests.protocol.token_side import TokenSide, refused

SECRET = "proxy-secret-of-more-than-32-characters"
PROXY, MTLS_URL = "192.0.2.10", "https://mtls.example.com"
DN = "CN=client,O=Example\\, Inc"
CC = {"grant_type": "client_credentials", "scope": "read"}

_addresses = iter(range(1, 250))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def side(_shared_services: Services) -> TokenSide:
    """A tenant of a deployment that believes a proxy about certificates."""
    from app import create_app
    from app.infra.fetch import Fetcher
    from app.protocols.oauth.client_keys import ClientKeys
    from app.protocols.oauth.dpop import Dpop
    from app.protocols.oauth.sender import Sender

    shared = _shared_services
    settings = dataclasses.replace(
        shared.settings,
        trusted_proxies=(ipaddress.ip_network(f"{PROXY}/32"),),
        mtls_proxy_secret=SECRET,
        mtls_url=MTLS_URL,
    )
    fetcher = Fetcher(("127.0.0.1/32",))
    services = dataclasses.replace(
        shared,
        settings=settings,
        fetcher=fetcher,
        client_keys=ClientKeys(fetcher),
        sender=Sender(Dpop(shared.deployment_secrets.pepper), MTLS_URL),
    )
    tenant = new_tenant(services)
    parties.new_resource(services, tenant, parties.API)
    return TokenSide(services, tenant, Http(create_app(settings, services=services), tenant))


def proxied(certificate: Certified | None, *, verified: bool = True, **changes: Any) -> dict[str, Any]:
    """The options of a request that the proxy hands on."""
    headers = {
        "X-Watchword-Proxy-Secret": SECRET,
        "X-Forwarded-For": f"198.51.100.{next(_addresses)}",
        "X-SSL-Client-Cert": certificate.escaped if certificate else "",
        "X-SSL-Client-Verify": "SUCCESS" if verified else "FAILED:unable to verify the first certificate",
        **changes,
    }
    found = {name: value for name, value in headers.items() if value}
    return {"headers": found, "environ_base": {"REMOTE_ADDR": PROXY}}


def issued(side: TokenSide, **metadata: Any) -> Party:
    """A client known by the subject of a certificate an authority issued."""
    known = (
        {} if any(n.startswith("tls_client_auth_") for n in metadata) else {"tls_client_auth_subject_dn": DN}
    )
    return side.client(token_endpoint_auth_method="tls_client_auth", **known, **metadata)


def ask(side: TokenSide, party: Party, **options: Any) -> Any:
    return side.post("/token", {**CC, "client_id": party.client_id}, **options)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("subject_dn", DN),
        ("san_dns", "CLIENT.example.com"),
        ("san_uri", "spiffe://example.com/client"),
        ("san_ip", "2001:0db8::0007"),
        ("san_email", "client@example.com"),
    ],
)
def test_a_client_is_known_by_its_certificate(
    side: TokenSide, authority: Authority, member: str, value: str
) -> None:
    """Section 2.1.2, each of the five."""
    party = issued(side, **{f"tls_client_auth_{member}": value})
    good = authority.issue(alternatives=EVERY_ALTERNATIVE)
    assert ask(side, party, **proxied(good)).status_code == 200
    bare = authority.issue("somebody-else")
    refused(ask(side, party, **proxied(bare)), "invalid_client", 401)
    assert reasons(side.services, side.tenant, "client.authentication.fail")[-1] == "client.certificate_wrong"


def test_the_field_of_rfc_9440_is_read_as_well(side: TokenSide, authority: Authority) -> None:
    party, certificate = issued(side), authority.issue()
    options = proxied(None, **{"Client-Cert": certificate.field})
    assert ask(side, party, **options).status_code == 200


def wrong_ways(authority: Authority) -> dict[str, tuple[dict[str, Any], str]]:
    good, late = authority.issue(), authority.issue(ends=-5)
    early, alone = authority.issue(starts=3600), certified()
    return {
        "none": (proxied(None), "client.certificate_missing"),
        "of nobody": (proxied(alone, verified=False), "client.certificate_untrusted"),
        "unverified": (proxied(good, verified=False), "client.certificate_untrusted"),
        "no verdict": (proxied(good, **{"X-SSL-Client-Verify": ""}), "client.certificate_untrusted"),
        "expired": (proxied(late), "client.certificate_expired"),
        "not yet in force": (proxied(early), "client.certificate_expired"),
        "of another subject": (proxied(authority.issue("other")), "client.certificate_wrong"),
        "no secret": (proxied(good, **{"X-Watchword-Proxy-Secret": ""}), "client.certificate_missing"),
        "a wrong secret": (
            proxied(good, **{"X-Watchword-Proxy-Secret": SECRET + "x"}),
            "client.certificate_missing",
        ),
        "from elsewhere": (
            {**proxied(good), "environ_base": {"REMOTE_ADDR": "203.0.113.5"}},
            "client.certificate_missing",
        ),
    }


@pytest.mark.parametrize("case", sorted(wrong_ways(Authority())))
def test_a_certificate_that_does_not_count(side: TokenSide, authority: Authority, case: str) -> None:
    """No token, and no hint: the same answer for each, whose reason is in the audit."""
    options, reason = wrong_ways(authority)[case]
    answer = ask(side, issued(side), **options)
    refused(answer, "invalid_client", 401)
    assert answer.json["error_description"] == "Client authentication failed."
    assert reasons(side.services, side.tenant, "client.authentication.fail")[-1] == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"X-SSL-Client-Cert": "garbage"},
        {"X-SSL-Client-Cert": "-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A"},
        {"X-SSL-Client-Cert": "%ff%00"},
        {"X-SSL-Client-Cert": "", "Client-Cert": "garbage"},
        {"X-SSL-Client-Cert": "", "Client-Cert": ":AAAA:"},
        {"X-SSL-Client-Cert": "", "Client-Cert": ":" + "A" * 40_000 + ":"},
        {"Client-Cert": ":AAAA:"},
    ],
)
def test_what_is_no_certificate_is_refused(
    side: TokenSide, authority: Authority, changes: dict[str, str]
) -> None:
    """On record with its reason, and no fault of ours: at endpoints, pages and the API."""
    answer = ask(side, issued(side), **proxied(authority.issue(), **changes))
    refused(answer, "invalid_request")
    assert reasons(side.services, side.tenant, "client.authentication.fail")[-1] == (
        "client.certificate_malformed"
    )
    for path in ("/api/v1/me", "/sign-in", "/userinfo"):
        elsewhere = side.http.get(path, **proxied(authority.issue(), **changes))
        assert (elsewhere.status_code, elsewhere.json["error"]) == (400, "invalid_request"), path


def test_a_certificate_does_not_stand_in_for_another_method(side: TokenSide, authority: Authority) -> None:
    party = side.client()
    refused(ask(side, party, **proxied(authority.issue())), "invalid_client", 401)
    assert (
        reasons(side.services, side.tenant, "client.authentication.fail")[-1] == "client.method_not_allowed"
    )
    known = issued(side)
    options = proxied(authority.issue())
    options["headers"] |= known.basic
    refused(side.post("/token", CC, **options), "invalid_client", 401)


def test_a_certificate_is_its_owners_alone(side: TokenSide, authority: Authority) -> None:
    """The client_id of one and the certificate of another."""
    other = issued(side, tls_client_auth_subject_dn="CN=other,O=Example\\, Inc")
    refused(ask(side, other, **proxied(authority.issue())), "invalid_client", 401)
    assert reasons(side.services, side.tenant, "client.authentication.fail")[-1] == "client.certificate_wrong"


def registered(side: TokenSide, **metadata: Any) -> Party:
    return side.client(token_endpoint_auth_method="self_signed_tls_client_auth", **metadata)


def test_a_self_signed_certificate_is_known_by_the_key_set(side: TokenSide) -> None:
    """Section 2.2: the whole certificate, or its key where the set has keys alone."""
    mine, other = certified(), certified()
    whole = registered(side, jwks={"keys": [mine.jwk]})
    key = registered(side, jwks={"keys": [{k: v for k, v in mine.jwk.items() if k != "x5c"}]})
    for party in (whole, key):
        assert ask(side, party, **proxied(mine, verified=False)).status_code == 200
        refused(ask(side, party, **proxied(other, verified=False)), "invalid_client", 401)
        refused(ask(side, party, **proxied(None)), "invalid_client", 401)
    late = certified(ends=-5)
    expired = registered(side, jwks={"keys": [late.jwk]})
    refused(ask(side, expired, **proxied(late, verified=False)), "invalid_client", 401)


def test_a_certificate_may_be_replaced_without_a_failed_request(side: TokenSide) -> None:
    """Published at `jwks_uri`: an unknown one has the set fetched anew, though not at every try."""
    old, new = certified(), certified()
    with KeyServer({"keys": [old.jwk]}) as server:
        party = registered(side, jwks_uri=server.url)
        assert ask(side, party, **proxied(old, verified=False)).status_code == 200
        refused(ask(side, party, **proxied(new, verified=False)), "invalid_client", 401)
        assert server.asked == 1, "within the cooldown"
        server.document = {"keys": [old.jwk, new.jwk]}
        side.services.client_keys._entries.clear()
        for certificate in (old, new):
            assert ask(side, party, **proxied(certificate, verified=False)).status_code == 200


def test_tokens_are_bound_to_the_certificate(side: TokenSide, authority: Authority) -> None:
    """Section 3: `x5t#S256` in token and introspection, and at our own resource."""
    mine, other = authority.issue(), authority.issue()
    party = side.client(tls_client_certificate_bound_access_tokens=True)
    form = side.code(party, side.user()).form()
    refused(side.post("/token", form, party, **_merged(proxied(None), party)), "invalid_request")
    answer = side.post("/token", form, **_merged(proxied(mine), party))
    assert answer.status_code == 200, answer.text
    token = answer.json["access_token"]
    assert answer.json["token_type"] == "Bearer"
    cnf = side.read(token).claims["cnf"]
    assert set(cnf) == {"x5t#S256"}
    assert side.introspect(party, token)["cnf"] == cnf
    at = {"Authorization": f"Bearer {token}"}
    assert _get(side, "/userinfo", mine, at).status_code == 200
    refused(_get(side, "/userinfo", other, at), "invalid_token", 401)
    refused(_get(side, "/userinfo", None, at), "invalid_token", 401)
    refused(side.userinfo(token), "invalid_token", 401)
    assert reasons(side.services, side.tenant, "token.refused")[-1] == "token.wrong_key"


def test_our_api_takes_the_certificate_too(side: TokenSide, authority: Authority) -> None:
    mine = authority.issue()
    party = side.client(tls_client_certificate_bound_access_tokens=True, scope="openid watchword:read")
    form = side.code(party, side.user(), "openid watchword:read").form()
    token = side.post("/token", form, **_merged(proxied(mine), party)).json["access_token"]
    at = {"Authorization": f"Bearer {token}"}
    assert _get(side, "/api/v1/me", mine, at).status_code == 200
    assert _get(side, "/api/v1/me", None, at).status_code == 401
    assert _get(side, "/api/v1/me", authority.issue(), at).status_code == 401


def test_a_public_clients_refresh_token_is_bound_to_its_certificate(
    side: TokenSide, authority: Authority
) -> None:
    """Section 7.1."""
    mine = authority.issue()
    party = side.client(token_endpoint_auth_method="none", tls_client_certificate_bound_access_tokens=True)
    form = side.code(party, side.user(), "openid offline_access").form(client_id=party.client_id)
    token = side.post("/token", form, **proxied(mine)).json["refresh_token"]
    again = {"grant_type": "refresh_token", "refresh_token": token, "client_id": party.client_id}
    refused(side.post("/token", again, **proxied(authority.issue())), "invalid_grant")
    assert side.post("/token", again, **proxied(mine)).status_code == 200


def test_a_token_may_be_bound_to_both(side: TokenSide, authority: Authority) -> None:
    prover, mine = Prover(side.tenant.issuer), authority.issue()
    party = side.client(tls_client_certificate_bound_access_tokens=True)
    options = _merged(proxied(mine, **prover.header()), party)
    answer = side.post("/token", side.code(party, side.user()).form(), **options)
    token = answer.json["access_token"]
    assert answer.json["token_type"] == "DPoP"
    assert set(side.read(token).claims["cnf"]) == {"jkt", "x5t#S256"}
    assert _get(side, "/userinfo", mine, prover.at("/userinfo", token)).status_code == 200
    refused(_get(side, "/userinfo", None, prover.at("/userinfo", token)), "invalid_token", 401)


def test_discovery_names_methods_and_aliases(side: TokenSide) -> None:
    """Sections 3.3 and 5."""
    base = f"{MTLS_URL}{side.tenant.path}"
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        document = side.http.get(path).json
        assert document["tls_client_certificate_bound_access_tokens"] is True
        assert {"tls_client_auth", "self_signed_tls_client_auth"} <= set(
            document["token_endpoint_auth_methods_supported"]
        )
        aliases = document["mtls_endpoint_aliases"]
        assert aliases["token_endpoint"] == f"{base}/token"
        for member, url in aliases.items():
            assert url.removeprefix(base) == document.get(
                member, f"{side.tenant.issuer}/userinfo"
            ).removeprefix(side.tenant.issuer)


def test_without_a_proxy_or_tls_of_our_own_nothing_is_promised(services: Services) -> None:
    from app import create_app

    tenant = new_tenant(services)
    http = Http(create_app(services.settings, services=services), tenant)
    document = http.get("/.well-known/openid-configuration").json
    assert "tls_client_certificate_bound_access_tokens" not in document
    assert "mtls_endpoint_aliases" not in document
    assert not [m for m in document["token_endpoint_auth_methods_supported"] if "tls" in m]
    party = parties.new_client(
        services, tenant, token_endpoint_auth_method="tls_client_auth", tls_client_auth_subject_dn=DN
    )
    options = proxied(Authority().issue())
    answer = http.post("/token", form={**CC, "client_id": party.client_id}, **options)
    refused(answer, "invalid_client", 401)


def test_the_alias_answers_for_machines_alone(side: TokenSide, authority: Authority) -> None:
    party = issued(side)
    options = proxied(authority.issue())
    options["headers"]["Host"] = "mtls.example.com"
    assert ask(side, party, **options).status_code == 200
    for path, status in (("/sign-in", 404), ("/account", 404), ("/.well-known/openid-configuration", 200)):
        answer = side.http.get(path, **options)
        assert answer.status_code == status, path


def test_proofs_may_name_the_alias(side: TokenSide, authority: Authority) -> None:
    """`htu` is where the client sent the request."""
    prover = Prover(MTLS_URL + side.tenant.path)
    party = issued(side, dpop_bound_access_tokens=True)
    options = proxied(authority.issue(), **prover.header())
    assert ask(side, party, **options).json["token_type"] == "DPoP"


def _merged(options: dict[str, Any], party: Party) -> dict[str, Any]:
    return {**options, "headers": {**options["headers"], **party.basic}}


def _get(side: TokenSide, path: str, certificate: Certified | None, headers: dict[str, str]) -> Any:
    options = proxied(certificate, **headers)
    return side.http.get(path, **options)


def test_whatever_comes_as_a_certificate_is_refused_in_order(authority: Authority) -> None:
    """Damaged fields are read as the certificate or refused, in both forms."""
    import random

    from app.infra import certificates
    from app.infra.certificates import InvalidCertificate

    dice = random.Random(8705)
    good = authority.issue(alternatives=EVERY_ALTERNATIVE)
    for read, whole in ((certificates.of_field, good.field), (certificates.of_escaped, good.escaped)):
        assert read(whole) == good.der
        for _ in range(500):
            at = dice.randrange(len(whole))
            damaged = whole[:at] + dice.choice(["", "A", "%", ":", "=", "\x00", "ä"]) + whole[at + 1 :]
            try:
                der = read(damaged)
            except InvalidCertificate:
                continue
            # What can be read has to be safe to look at, whatever it says.
            for member in ("subject_dn", "san_dns", "san_uri", "san_email"):
                assert certificates.names(der, f"tls_client_auth_{member}", "CN=x") is False
            certificates.is_in_force(der)
            certificates.public_members(der)
