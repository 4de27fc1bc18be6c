"""`wsgi:application` under granian and gunicorn by themselves, with the shipped configurations."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import EMBEDDED, PRODUCTION
from tests.interop import deployment, scripts
from tests.live import ROOT, LiveServer, children, new_deployment
from tests.person import Person
from tests.servers import RedisServer, free_port, wait_until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

BIN = Path(sys.executable).parent
COMMANDS = {
    "granian": [str(ROOT / "deploy/granian.sh")],
    "gunicorn": [
        str(BIN / "gunicorn"),
        "--config",
        str(ROOT / "deploy/gunicorn.conf.py"),
        "wsgi:application",
    ],
}


@pytest.fixture(scope="module", params=COMMANDS)
def bare(
    request: pytest.FixtureRequest, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A web server started without `watchword serve`."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, Any] = {}
        if storage == PRODUCTION:
            servers["redis"] = stack.enter_context(RedisServer())
            servers["postgres"] = request.getfixturevalue("postgres_server")
        settings = stack.enter_context(new_deployment(storage, tmp_path_factory.mktemp("bare"), **servers))
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("PATH", f"{BIN}:{os.environ['PATH']}")
        server = LiveServer(settings, server=request.param, command=COMMANDS[request.param])
        server.apply(deployment.document())
        yield stack.enter_context(server)


def test_a_client_signs_in(bare: LiveServer) -> None:
    found = scripts.run(
        "openid_client",
        Person(deployment.USERNAME, deployment.PASSWORD),
        issuer=bare.base_url,
        client_id=deployment.client_id("oauth2.1", "client_secret_basic"),
        client_secret=deployment.SECRET,
        redirect_uri=deployment.CALLBACK,
        post_logout_redirect_uri=deployment.SIGNED_OUT,
        scope="openid offline_access",
        pkce=True,
    )
    assert found["claims"]["iss"] == bare.base_url


def test_a_killed_worker_is_replaced(bare: LiveServer) -> None:
    killed = children(bare.pid)
    assert len(killed) == 2
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(set(children(bare.pid)) - set(killed)) == 2, seconds=30)
    wait_until(bare.is_ready, seconds=30)


def test_the_images_health_check(bare: LiveServer) -> None:
    def healthy() -> bool:
        command = [sys.executable, str(ROOT / "deploy/health.py")]
        return subprocess.run(command, env=bare.environment(), check=False).returncode == 0

    assert healthy()
    bare.stop()
    assert not healthy()
    bare.start()


def test_a_stop_is_orderly(bare: LiveServer) -> None:
    workers = children(bare.pid)
    assert bare.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    bare.start()


def test_a_second_server_over_one_folder_says_so(tmp_path: Path) -> None:
    """A newcomer's second `make run` on another port, over what the first one serves."""
    with new_deployment(EMBEDDED, tmp_path / "data", workers=1) as settings:
        port = free_port()
        second = dataclasses.replace(settings, port=port, base_url=f"http://127.0.0.1:{port}")
        with LiveServer(settings) as first:
            assert "Another server" not in first.log
            wait_until(lambda: "worker started" in first.log, seconds=20, what="the background worker")
            with LiveServer(second) as other:
                assert f"Another server works on {settings.data_dir}" in other.log
        with LiveServer(second) as alone:
            assert "Another server" not in alone.log
