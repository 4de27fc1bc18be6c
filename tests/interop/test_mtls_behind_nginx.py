"""Client certificates on real TLS: through the shipped nginx configuration, and with TLS of our own on gunicorn.

The authority of the clients is made here; `requests` opens the connections, with TLS 1.2 and 1.3.
"""

import contextlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from app.serving import SERVERS
from tests.conftest import PRODUCTION
from tests.interop import deployment, scripts
from tests.interop.proxy import Authority as Site
from tests.interop.proxy import MtlsNginx
from tests.interop.test_behind_nginx import LOOPBACK, https_server
from tests.live import WATCHWORD, LiveServer, environment, new_deployment
from tests.person import Person
from tests.protocol.certified import Authority, Certified, certified
from tests.protocol.prover import Prover
from tests.servers import PostgresServer, RedisServer, free_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

SECRET = "a-secret-of-this-deployment-for-its-proxy"
DN = "CN=client,O=Example\\, Inc"
CC = {"grant_type": "client_credentials", "scope": "read"}
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Tls(HTTPAdapter):
    """Connections of exactly one version of TLS."""

    def __init__(self, version: ssl.TLSVersion) -> None:
        self._version = version
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        context = ssl.create_default_context()
        context.minimum_version = context.maximum_version = self._version
        super().init_poolmanager(*arguments, ssl_context=context, **options)


class World:
    """The server, where it asks for certificates, and who has some."""

    def __init__(
        self, server: LiveServer, mtls_url: str, site: Site, folder: Path, clients: Authority
    ) -> None:
        self.server, self.mtls_url, self.site, self.folder = server, mtls_url, site, folder
        self.clients = clients

    def post(
        self,
        path: str,
        certificate: Certified | None,
        data: dict[str, str],
        *,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        base: str = "",
        **headers: str,
    ) -> requests.Response:
        base = base or self.mtls_url
        cert = certificate.write(self.folder, "shown") if certificate else None
        with requests.Session() as session:
            session.mount("https://", Tls(version))
            return session.post(
                base + path, data=data, headers=headers, cert=cert, verify=str(self.site.root), timeout=10
            )

    def get(
        self, path: str, certificate: Certified | None, base: str = "", **headers: str
    ) -> requests.Response:
        cert = certificate.write(self.folder, "shown") if certificate else None
        return requests.get(
            (base or self.mtls_url) + path, headers=headers, cert=cert, verify=str(self.site.root), timeout=10
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    return Site(folder)


@pytest.fixture(scope="module")
def clients() -> Authority:
    """The authority of the clients' certificates."""
    return Authority()


@pytest.fixture(scope="module")
def mine() -> Certified:
    """A certificate nobody issued, whose owner registered it."""
    return certified("self-signed")


def document(mine: Certified) -> dict[str, Any]:
    common = {"grant_types": ["client_credentials"], "scope": "read", "redirect_uris": []}
    flow = {
        "redirect_uris": [deployment.CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid profile offline_access read",
    }
    return deployment.document(
        {
            "client_id": "issued",
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_subject_dn": DN,
            "tls_client_certificate_bound_access_tokens": True,
            **common,
        },
        {
            "client_id": "self-signed",
            "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "jwks": {"keys": [mine.jwk]},
            **common,
        },
        {
            "client_id": "mtls-app",
            "client_name": "mtls-app",
            "token_endpoint_auth_method": "tls_client_auth",
            "tls_client_auth_subject_dn": DN,
            "tls_client_certificate_bound_access_tokens": True,
            **flow,
        },
        {
            "client_id": "dpop-app",
            "client_name": "dpop-app",
            "token_endpoint_auth_method": "client_secret_basic",
            "client_secret": deployment.SECRET,
            "dpop_bound_access_tokens": True,
            "dpop_nonce": True,
            **flow,
        },
    )


@pytest.fixture(scope="module", params=SERVERS)
def world(
    request: pytest.FixtureRequest,
    storage: str,
    tmp_path_factory: pytest.TempPathFactory,
    site: Site,
    clients: Authority,
    mine: Certified,
) -> Iterator[World]:
    """A server behind nginx, which asks for certificates at a second port."""
    port, mtls_port, behind = free_port(), free_port(), free_port()
    authorities = tmp_path_factory.mktemp("authorities")
    authorities.chmod(0o755)
    bundle = authorities / "clients.pem"
    bundle.write_text(clients.root.pem)
    members = {
        "base_url": f"https://127.0.0.1:{port}",
        "port": behind,
        "trusted_proxies": LOOPBACK,
        "mtls_url": f"https://127.0.0.1:{mtls_port}",
        "mtls_proxy_secret": SECRET,
    }
    folder = tmp_path_factory.mktemp("live")
    nginx = MtlsNginx(behind, site, bundle, port=port, mtls_port=mtls_port, secret=SECRET)
    with nginx, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(site.root))
        patch.setenv("NODE_EXTRA_CA_CERTS", str(site.root))
        with https_server(request, storage, folder, request.param, **members) as server:
            server.apply(document(mine))
            yield World(server, members["mtls_url"], site, tmp_path_factory.mktemp("shown"), clients)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_gets_a_token_bound_to_it(world: World, version: ssl.TLSVersion) -> None:
    shown = world.clients.issue()
    form = {**CC, "client_id": "issued"}
    answer = world.post("/token", shown, form, version=version)
    assert answer.status_code == 200, answer.text
    found = world.post("/introspect", shown, {"client_id": "issued", "token": answer.json()["access_token"]})
    assert set(found.json()["cnf"]) == {"x5t#S256"}


def test_others_get_none(world: World) -> None:
    form = {**CC, "client_id": "issued"}
    for shown in (
        None,
        certified(),  # the right subject, of nobody
        Authority("Others").issue(),  # of another authority
        world.clients.issue("other"),
    ):
        answer = world.post("/token", shown, form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    # nginx itself turns away what its authority issued and is over, and what only pretends to be of it.
    assert world.post("/token", Authority().issue(), form).status_code in (400, 401)
    assert world.post("/token", world.clients.issue(ends=-5), form).status_code in (400, 401)


def test_a_self_signed_certificate_is_let_through(world: World, mine: Certified) -> None:
    form = {**CC, "client_id": "self-signed"}
    assert world.post("/token", mine, form).status_code == 200
    assert world.post("/token", certified("self-signed"), form).status_code == 401


@pytest.mark.parametrize("place", ["base", "mtls"])
def test_a_client_cannot_write_the_proxys_fields(world: World, place: str) -> None:
    """At neither address, whichever fields it tries, even with the secret."""
    shown = world.clients.issue()
    base = world.server.base_url if place == "base" else world.mtls_url
    forged = {
        "X-Watchword-Proxy-Secret": SECRET,
        "X-SSL-Client-Cert": shown.escaped,
        "X-SSL-Client-Verify": "SUCCESS",
        "Client-Cert": shown.field,
        "X_SSL_Client_Cert": shown.escaped,
    }
    answer = world.post("/token", None, {**CC, "client_id": "issued"}, base=base, **forged)
    assert answer.status_code == 401, answer.text


def test_past_the_proxy_nothing_is_believed_without_the_secret(world: World) -> None:
    shown = world.clients.issue()
    direct = f"http://127.0.0.1:{world.server.settings.port}"
    headers = {
        "Host": world.server.base_url.removeprefix("https://"),
        "X-SSL-Client-Cert": shown.escaped,
        "X-SSL-Client-Verify": "SUCCESS",
    }
    form = {**CC, "client_id": "issued"}
    assert requests.post(f"{direct}/token", data=form, headers=headers, timeout=10).status_code == 401
    headers["X-Watchword-Proxy-Secret"] = SECRET
    assert requests.post(f"{direct}/token", data=form, headers=headers, timeout=10).status_code == 200


def test_people_are_not_asked_for_certificates(world: World) -> None:
    assert world.server.get("/sign-in").status_code == 200
    assert world.get("/sign-in", None).status_code == 404


def test_two_proofs_in_two_header_lines_are_refused(world: World) -> None:
    """Whatever the web server makes of repeated fields, it must not pick one."""
    import http.client

    prover = Prover(world.server.base_url)
    host, _, port = world.server.base_url.removeprefix("https://").partition(":")
    context = ssl.create_default_context(cafile=str(world.site.root))
    connection = http.client.HTTPSConnection(host, int(port), context=context, timeout=10)
    body = (
        "grant_type=client_credentials&client_id=oauth2-1-client-secret-post&client_secret="
        + deployment.SECRET
    )
    connection.putrequest("POST", "/token")
    connection.putheader("Content-Type", "application/x-www-form-urlencoded")
    connection.putheader("Content-Length", str(len(body)))
    connection.putheader("DPoP", prover.proof())
    connection.putheader("DPoP", prover.proof())
    connection.endheaders(body.encode())
    answer = connection.getresponse()
    assert (answer.status, b"access_token" in answer.read()) == (400, False)
    connection.close()


def test_oauth4webapi_with_certificates(world: World) -> None:
    """Unchanged: aliases from discovery, code flow, bound tokens at UserInfo, refresh."""
    certificate, key = world.clients.issue().write(world.folder, "node")
    found = scripts.run(
        "mtls",
        Person(deployment.USERNAME, deployment.PASSWORD),
        issuer=world.server.base_url,
        client_id="mtls-app",
        redirect_uri=deployment.CALLBACK,
        scope="openid profile offline_access",
        certificate=certificate,
        key=key,
        authority=str(world.site.root),
    )
    assert found["userinfo"]["name"] == "Alice Adams"
    assert set(found["cnf"]) == {"x5t#S256"}
    assert found["withoutCertificate"] == 401
    assert found["refreshed"] is True


@pytest.mark.parametrize("script", ["dpop_oauth4webapi", "dpop_openid_client"])
def test_javascript_clients_with_dpop(world: World, script: str) -> None:
    """Unchanged: nonces, bound tokens at UserInfo, refresh with the key, downgrade refused."""
    found = scripts.run(
        script,
        Person(deployment.USERNAME, deployment.PASSWORD),
        issuer=world.server.base_url,
        client_id="dpop-app",
        client_secret=deployment.SECRET,
        redirect_uri=deployment.CALLBACK,
        scope="openid profile offline_access",
    )
    assert found["tokenType"].lower() == "dpop"
    assert found["userinfo"]["name"] == "Alice Adams"
    assert found["asBearer"] == 401
    assert found["refreshedType"].lower() == "dpop"


def test_tls_of_our_own_asks_for_certificates(
    request: pytest.FixtureRequest,
    storage: str,
    tmp_path: Path,
    site: Site,
    clients: Authority,
    mine: Certified,
) -> None:
    """On gunicorn (docs/decisions/0006); the context itself refuses what no authority issued."""
    bundle = tmp_path / "clients.pem"
    bundle.write_text(clients.root.pem)
    port = free_port()
    members = {
        "base_url": f"https://127.0.0.1:{port}",
        "port": port,
        "tls_cert": site.certificate,
        "tls_key": site.key,
        "tls_client_ca": bundle,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(site.root))
        with https_server(request, storage, tmp_path, "gunicorn", **members) as server:
            server.apply(document(mine))
            world = World(server, server.base_url, site, tmp_path, clients)
            methods = server.get("/.well-known/openid-configuration").json()[
                "token_endpoint_auth_methods_supported"
            ]
            assert "tls_client_auth" in methods
            assert "self_signed_tls_client_auth" not in methods
            form = {**CC, "client_id": "issued"}
            for version in VERSIONS:
                assert world.post("/token", clients.issue(), form, version=version).status_code == 200
            assert world.post("/token", None, form).status_code == 401
            assert world.post("/token", clients.issue("other"), form).status_code == 401
            forged = {"X-SSL-Client-Cert": clients.issue().escaped, "X-SSL-Client-Verify": "SUCCESS"}
            assert world.post("/token", None, form, **forged).status_code == 401
            with contextlib.suppress(requests.RequestException):
                assert world.post("/token", certified(), form).status_code != 200
            assert spoken(port, site, "ECDHE-ECDSA-AES128-GCM-SHA256")
            for cipher in ("ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-CCM8"):
                assert not spoken(port, site, cipher), cipher


def spoken(port: int, site: Site, cipher: str) -> bool:
    """Whether a server speaks TLS 1.2 with this cipher."""
    context = ssl.create_default_context(cafile=str(site.root))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            context.wrap_socket(plain, server_hostname="127.0.0.1").close()
    except (ssl.SSLError, ConnectionError):
        return False
    return True


def test_granian_refuses_to_pretend(
    storage: str, tmp_path: Path, site: Site, request: pytest.FixtureRequest
) -> None:
    with contextlib.ExitStack() as stack:
        servers: dict[str, Any] = {}
        if storage == PRODUCTION:
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            servers = {"redis": stack.enter_context(RedisServer()), "postgres": postgres}
        members = {"tls_cert": site.certificate, "tls_key": site.key, "tls_client_ca": site.root}
        base_url = f"https://127.0.0.1:{free_port()}"
        settings = stack.enter_context(
            new_deployment(storage, tmp_path, base_url=base_url, **members, **servers)
        )
        done = subprocess.run(
            [*WATCHWORD, "serve", "--server", "granian"],
            env=environment(settings),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert "granian does not hand on client certificates" in done.stderr
