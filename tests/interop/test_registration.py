"""Third-party code registers itself, unchanged: openid-client, oauth4webapi, and Debian's oidc-agent by device flow."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.interop import deployment, scripts
from tests.interop.oidc_agent import OidcAgent
from tests.interop.proxy import Authority, Nginx
from tests.interop.test_behind_nginx import LOOPBACK, authority, https_server
from tests.live import LiveServer
from tests.person import Person
from tests.servers import free_port

__all__ = ["authority"]

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

CHALLENGED = "OAUTH_WWW_AUTHENTICATE_CHALLENGE"
SCOPE = "openid profile offline_access"


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest,
    storage: str,
    tmp_path_factory: pytest.TempPathFactory,
    authority: Authority,
) -> Iterator[LiveServer]:
    """Behind nginx with TLS, as oidc-agent demands it; clients register with an initial access token."""
    port, behind = free_port(), free_port()
    members = {"base_url": f"https://127.0.0.1:{port}", "port": behind, "trusted_proxies": LOOPBACK}
    with contextlib.ExitStack() as stack:
        stack.enter_context(Nginx(behind, authority, port=port))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("REQUESTS_CA_BUNDLE", str(authority.root))
        patch.setenv("NODE_EXTRA_CA_CERTS", str(authority.root))
        folder = tmp_path_factory.mktemp("live")
        found = stack.enter_context(https_server(request, storage, folder, "granian", **members))
        found.apply(deployment.document())
        decide(found, clients="token")
        yield found


def decide(server: LiveServer, **registration: Any) -> None:
    """As an operator sets it."""
    server.apply({"tenants": [{"slug": "default", "settings": {"registration": registration}}]})


def token_of(server: LiveServer) -> str:
    """An initial access token for one client."""
    return server.watchword("client", "registration-token", "create").strip()


def registered(server: LiveServer) -> list[dict[str, Any]]:
    """The clients there are that registered themselves."""
    found: list[dict[str, Any]] = json.loads(server.watchword("client", "list", "--registered", "--json"))
    return found


def alice_at(server: LiveServer) -> Person:
    return Person(deployment.USERNAME, deployment.PASSWORD)


def test_libraries(server: LiveServer) -> None:
    first, spent, second = token_of(server), token_of(server), token_of(server)
    registration = {"redirect_uris": [deployment.CALLBACK]}
    answer = requests.post(
        f"{server.base_url}/register",
        json=registration,
        headers={"Authorization": f"Bearer {spent}"},
        timeout=10,
    )
    assert answer.status_code == 201, answer.text
    found = scripts.run(
        "registration",
        alice_at(server),
        issuer=server.base_url,
        initial_token=first,
        spent_token=spent,
        second_token=second,
        redirect_uri=deployment.CALLBACK,
        scope=SCOPE,
    )
    told = found["told"]
    assert told["client_name"] == "A library"
    assert (told["client_secret_expires_at"], told["application_type"]) == (0, "native")
    # The libraries look at the challenge before the body.
    assert (found["without"], found["spent"]) == (CHALLENGED, CHALLENGED)
    assert found["claims"]["aud"] in (told["client_id"], [told["client_id"]])
    assert found["userinfo"]["name"] == "Alice Adams"
    assert found["read"]["client_id"] == told["client_id"]
    assert found["deleted"] == 204
    assert found["afterwards"] == CHALLENGED
    assert found["secretExpires"] == 0
    assert told["client_id"] not in [each["client_id"] for each in registered(server)]


def test_oidc_agent(server: LiveServer, authority: Authority, tmp_path: Path) -> None:
    """It registers, somebody allows it by device flow, it hands out tokens, renews them, and forgets all."""
    decide(server, clients="open")
    visited: list[str] = []

    def allow(link: str) -> None:
        visited.append(alice_at(server).walk(link, f"{server.base_url}/device/done"))

    before = {each["client_id"] for each in registered(server)}
    with OidcAgent(tmp_path, authority.root) as agent:
        said = agent.generate("alice", server.base_url, SCOPE, allow)
        assert visited, said
        (made,) = [each for each in registered(server) if each["client_id"] not in before]
        assert made["client_name"].startswith("oidc-agent")
        token = agent.run("oidc-token", "alice")
        bearer = {"Authorization": f"Bearer {token}"}
        info = requests.get(f"{server.base_url}/userinfo", headers=bearer, timeout=10)
        assert info.json()["name"] == "Alice Adams"
        renewed = agent.run("oidc-token", "--force-new", "alice")
        assert renewed != token
        assert "alice" in agent.run("oidc-add", "--loaded")
    decide(server, clients="token")
