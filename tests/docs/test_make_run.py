"""`make run` once the environment is there: what it prints, in which order, and what it does not begin."""

import socket
import subprocess
from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.newcomer import Folder, clean_environment
from tests.live import READY_PATH
from tests.servers import free_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]


def reader(path: Path, port: int) -> Folder:
    (path / "scripts").symlink_to(pages.ROOT / "scripts")
    return Folder(path, clean_environment(WATCHWORD_PORT=str(port), WATCHWORD_WORKERS="1"))


def test_a_port_in_use_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port: int = other.getsockname()[1]
        folder = reader(tmp_path, port)
        done = subprocess.run(
            ["scripts/run"], cwd=tmp_path, env=folder.environment, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 1
    assert "Address already in use" in done.stderr
    assert f"try WATCHWORD_PORT={port + 1} make run" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "data").exists()


def test_the_issuer_is_told_without_the_default_port(tmp_path: Path) -> None:
    """As discovery has it: clients compare the two."""
    port = free_port()
    folder = reader(tmp_path, port)
    folder.environment["WATCHWORD_BASE_URL"] = "http://localhost:80"
    with folder.running("scripts/run", f"http://127.0.0.1:{port}{READY_PATH}") as log:
        said = log.read_text()
    assert "Issuer     http://localhost\n" in said
    assert "Discovery  http://localhost/.well-known/openid-configuration\n" in said


def test_another_port_is_remembered_in_the_second_terminal(tmp_path: Path) -> None:
    port = free_port()
    folder = reader(tmp_path, port)
    issuer = f"http://localhost:{port}"
    with folder.running("scripts/run", issuer + READY_PATH) as log:
        said = log.read_text()
        assert f"export WATCHWORD_PORT={port}" in said
        assert said.count("Issuer") == 1
        assert said.count("admin link") == 0, "a link was printed already"
        assert said.count("/first-admin/") == 1
        assert folder.run(".venv/bin/watchword admin link").startswith(f"{issuer}/first-admin/")
