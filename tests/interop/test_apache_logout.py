"""Apache with mod_auth_openidc, unchanged, hears that a session ended: by the back channel and by the front channel."""

import contextlib
import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conftest import PRODUCTION
from tests.interop import deployment
from tests.interop.apache import Apache
from tests.live import LiveServer, new_deployment
from tests.person import Page, Person
from tests.servers import RedisServer, wait_until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A live server whose worker may reach this machine."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, Any] = {}
        if storage == PRODUCTION:
            servers["redis"] = stack.enter_context(RedisServer())
            servers["postgres"] = request.getfixturevalue("postgres_server")
        folder = tmp_path_factory.mktemp("live")
        settings = stack.enter_context(new_deployment(storage, folder, fetch_allow=("127.0.0.1",), **servers))
        live = stack.enter_context(LiveServer(settings))
        live.apply(deployment.document())
        yield live


class Site:
    """A protected site, and who is signed in to it."""

    def __init__(self, apache: Apache, client_id: str, server: LiveServer) -> None:
        self.apache, self.client_id, self.server = apache, client_id, server
        self.private = f"{apache.origin}/private/index.html"
        self.home = f"{apache.origin}/index.html"

    def sign_in(self) -> Person:
        person = Person(deployment.USERNAME, deployment.PASSWORD)
        returned = person.walk(self.private, f"{self.apache.origin}/private/callback")
        assert person.session.get(returned, timeout=20).text == "for members only\n", self.apache.errors
        return person

    def lets_in(self, person: Person) -> bool:
        status = person.session.get(self.private, timeout=20, allow_redirects=False).status_code
        assert status in (200, 302), self.apache.errors
        return status == 200

    @property
    def sign_out_url(self) -> str:
        asked = {"client_id": self.client_id, "post_logout_redirect_uri": self.home}
        return f"{self.server.base_url}/logout?{urlencode(asked)}"


@contextlib.contextmanager
def site(server: LiveServer, client_id: str, alg: str, **channel: Any) -> Iterator[Site]:
    apache = Apache(server.base_url, client_id, deployment.SECRET, "client_secret_basic", pkce=True)
    callback = f"{apache.origin}/private/callback"
    known = deployment.client(client_id, "oauth2.1", "client_secret_basic", [callback])
    known["post_logout_redirect_uris"] = [f"{apache.origin}/index.html"]
    known["id_token_signed_response_alg"] = alg
    known |= {name: value.replace("CALLBACK", callback) for name, value in channel.items()}
    server.apply(deployment.document(known))
    with apache:
        yield Site(apache, client_id, server)


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_back_channel(server: LiveServer, alg: str) -> None:
    """The session that ended, and no other; then all of them, as the account is closed."""
    with site(
        server, f"told-{alg.lower()}", alg, backchannel_logout_uri="CALLBACK?logout=backchannel"
    ) as found:
        first, second = found.sign_in(), found.sign_in()
        assert found.lets_in(first)
        assert found.lets_in(second)
        assert first.walk(found.sign_out_url, found.home) == found.home
        wait_until(lambda: not found.lets_in(first), seconds=20, what="Apache to hear of it")
        assert found.lets_in(second)
        server.watchword("user", "disable", deployment.USERNAME)
        wait_until(lambda: not found.lets_in(second), seconds=20, what="Apache to hear of it")
        server.watchword("user", "enable", deployment.USERNAME)


def test_front_channel(server: LiveServer) -> None:
    """What a browser does with the page: it loads the frame, and Apache lets nobody in any more."""
    with site(server, "framed", "RS256", frontchannel_logout_uri="CALLBACK?logout=get") as found:
        person = found.sign_in()
        assert found.lets_in(person)
        page = person.session.get(found.sign_out_url, timeout=20)
        form = Page(page.url, page.text).form_with("confirm-logout")
        assert form is not None
        answer = person.session.post(form.action, data=form.fields, timeout=20)
        assert Page(answer.url, answer.text).refresh == found.home
        (frame,) = re.findall(r'<iframe src="([^"]+)"', answer.text)
        assert person.session.get(unescape(frame), timeout=20).status_code == 200, found.apache.errors
        assert not found.lets_in(person)
