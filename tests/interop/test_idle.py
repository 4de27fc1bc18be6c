"""A quiet half-minute after a burst: the web servers end idle threads then, and no worker may end with them."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.interop import deployment
from tests.live import LiveServer

pytestmark = pytest.mark.interop

IDLE_SECONDS = 36
"""granian ends a thread that had nothing to do for 30 s."""


def test_workers_survive_their_idle_threads(server: LiveServer) -> None:
    client_id = deployment.client_id("oauth2.1", "client_secret_post")
    form = {
        "grant_type": "authorization_code",
        "code": "x" * 43,
        "redirect_uri": deployment.CALLBACK,
        "client_id": client_id,
        "client_secret": deployment.SECRET,
    }

    def ask(_: int) -> int:
        return server.post("/token", data=form).status_code

    before = sorted(server.web_workers())
    with ThreadPoolExecutor(24) as pool:
        assert set(pool.map(ask, range(120))) == {400}
    time.sleep(IDLE_SECONDS)
    assert sorted(server.web_workers()) == before
    assert server.get("/sign-in").status_code == 200
