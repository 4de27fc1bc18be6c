"""The page about resource servers, with Apache's mod_oauth2 and nginx's njs of Debian before an API of their own."""

import base64
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.conftest import ReaderOf
from tests.docs.newcomer import Folder, Reading, apply, apply_anew, printed_secret
from tests.interop.proxy import Authority, Nginx
from tests.interop.resource_servers import ApacheApi, NginxApi
from tests.live import LiveServer
from tests.protocol.prover import Prover
from tests.servers import free_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

PAGE = "docs/how-to/resource-servers.md"
SECRET = "k7Jr0uQ2m5vX8zB1nC4dF6hL9pS3tW0y"
API, OTHER = "https://api.example.com", "https://other.example.com"


@dataclasses.dataclass(frozen=True)
class World:
    """The page as it was read, and a client that gets tokens for the API."""

    reading: Reading
    live: LiveServer
    secret: str
    authority: Authority

    @property
    def port(self) -> int:
        """Where Watchword listens."""
        return int(self.live.base_url.rpartition(":")[2])

    def token(self, scope: str = "orders:read", resource: str = API, **headers: str) -> str:
        """An access token of a machine."""
        answer = self.live.post(
            "/token",
            data={"grant_type": "client_credentials", "scope": scope, "resource": resource},
            auth=("shop", SECRET),
            headers=headers,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def revoke(self, token: str) -> None:
        """Take it back."""
        assert self.live.post("/revoke", data={"token": token}, auth=("shop", SECRET)).status_code == 200


@pytest.fixture
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    return Authority(folder)


@pytest.fixture
def world(reader: ReaderOf, documented: LiveServer, folder: Folder, authority: Authority) -> World:
    reading = reader(PAGE)
    document = reading.documents()[0]
    secret = printed_secret(apply_anew(folder, document), "orders-gate")
    more: dict[str, Any] = {
        "resources": [
            {
                "identifier": OTHER,
                "name": "Other",
                "scopes": [{"name": "other:read", "description": "Something else"}],
            },
            {
                "identifier": API,
                "scopes": [
                    {"name": "orders:read", "description": "See your orders"},
                    {"name": "orders:write", "description": "Change them"},
                ],
            },
        ],
        "clients": [
            {
                "client_id": "shop",
                "client_secret": SECRET,
                "grant_types": ["client_credentials"],
                "scope": "orders:read orders:write other:read",
            }
        ],
    }
    apply(folder, {"tenants": [{"slug": "default", **more}]})
    return World(reading, documented, secret, authority)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def apache(world: World) -> Iterator[ApacheApi]:
    blocks = [world.reading.text(block.text) for block in world.reading.page.of("apache")]
    assert len(blocks) == 4
    with ApacheApi(world.authority, "\n".join(blocks).replace("THE-PRINTED-SECRET", world.secret)) as server:
        yield server


def test_apache_by_keys(world: World, apache: ApacheApi) -> None:
    good = world.token()
    answer = apache.get("/orders/", **bearer(good))
    assert (answer.status_code, answer.text) == (200, "orders\n"), apache.errors
    assert answer.headers["X-Subject"] == "shop"
    assert apache.get("/orders/").status_code == 401
    for wrong in (good[:-6] + "AAAAAA", "x", world.token("other:read", OTHER), world.token("orders:write")):
        assert apache.get("/orders/", **bearer(wrong)).status_code in (401, 403)
    assert apache.get(f"/orders/?access_token={good}").status_code == 401


def test_apache_by_introspection(world: World, apache: ApacheApi) -> None:
    """A token that was revoked is refused once what the module remembers is over."""
    good = world.token()
    answer = apache.get("/orders/paid/", **bearer(good))
    assert (answer.status_code, answer.text) == (200, "orders/paid\n"), apache.errors
    for wrong in ("x", world.token("other:read", OTHER), world.token("orders:write")):
        assert apache.get("/orders/paid/", **bearer(wrong)).status_code in (401, 403)
    world.revoke(good)
    time.sleep(3)
    assert apache.get("/orders/paid/", **bearer(good)).status_code == 401


def test_apache_with_bound_tokens(world: World, apache: ApacheApi) -> None:
    """DPoP: the token's own key, this method and this address; nothing else, and no bearer token."""
    prover, issuer = Prover(apache.origin), Prover(world.live.base_url)
    prover.key = issuer.key
    path = "/orders/bound/"
    token = world.token(**issuer.header())
    answer = apache.get(path, **prover.at(path, token))
    assert (answer.status_code, answer.text) == (200, "orders/bound\n"), apache.errors
    others = (
        Prover(apache.origin).at(path, token),
        prover.at("/orders/", token),
        prover.at(path, token, method="POST"),
        {"Authorization": f"DPoP {token}"},
        bearer(token),
        prover.at(path, world.token()),
    )
    for headers in others:
        assert apache.get(path, **headers).status_code == 401, headers


class Front(Nginx):
    """Ends TLS before Watchword, which goes on thinking of itself as it was started."""

    def __init__(self, world: World) -> None:
        super().__init__(world.port, world.authority, port=free_port())
        path = self.folder / "nginx.conf"
        text = path.read_text()
        for old, new in (
            ("Host $http_host;", f"Host localhost:{world.port};"),
            ("Proto $scheme;", "Proto http;"),
        ):
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)


def over_tls(world: World, directives: str, front: Front, trusted: Authority) -> str:
    """The directives of the page, which ask Watchword at `front` and trust this authority."""
    for old, new in (
        (f"{world.live.base_url}/introspect", f"https://localhost:{front.port}/introspect"),
        ("/etc/ssl/certs/ca-certificates.crt", str(trusted.root)),
    ):
        assert directives.count(old) == 1
        directives = directives.replace(old, new)
    return directives


def test_nginx(world: World) -> None:
    imports, directives = (world.reading.text(block.text) for block in world.reading.page.of("nginx"))
    pair = base64.b64encode(f"orders-gate:{world.secret}".encode()).decode()
    directives = directives.replace("THE-PRINTED-SECRET-IN-BASE64", pair)
    with (
        Front(world) as front,
        NginxApi(world.authority, imports, over_tls(world, directives, front, world.authority)) as nginx,
    ):
        good = world.token()
        answer = nginx.get("/orders", **bearer(good))
        assert (answer.status_code, answer.text) == (200, "shop"), nginx.errors
        assert "WWW-Authenticate" not in answer.headers
        missing = nginx.get("/orders")
        assert missing.status_code == 401
        assert missing.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        for wrong in (good[:-6] + "AAAAAA", "x", world.token("other:read", OTHER)):
            refused = nginx.get("/orders", **bearer(wrong))
            assert refused.status_code == 401
            assert refused.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'
        narrow = nginx.get("/orders", **bearer(world.token("orders:write")))
        assert narrow.status_code == 403
        spoofed = nginx.get("/orders", **{"X-Token-Subject": "admin", **bearer(good)})
        assert spoofed.text == "shop"
        prover = Prover(world.live.base_url)
        assert nginx.get("/orders", **bearer(world.token(**prover.header()))).status_code == 401
        assert nginx.get("/_introspect", **bearer(good)).status_code == 404
        world.revoke(good)
        assert nginx.get("/orders", **bearer(good)).status_code == 401


def test_nginx_asks_nobody_it_cannot_verify(world: World, tmp_path: Path) -> None:
    """Somebody with a certificate of another authority stands where Watchword should."""
    imports, directives = (world.reading.text(block.text) for block in world.reading.page.of("nginx"))
    pair = base64.b64encode(f"orders-gate:{world.secret}".encode()).decode()
    directives = directives.replace("THE-PRINTED-SECRET-IN-BASE64", pair)
    tmp_path.chmod(0o755)
    other = Authority(tmp_path)
    with (
        Front(world) as front,
        NginxApi(world.authority, imports, over_tls(world, directives, front, other)) as nginx,
    ):
        assert nginx.get("/orders", **bearer(world.token())).status_code == 500
        assert "certificate verify" in nginx.errors
