"""The wheel alone, in an empty environment and an empty folder: it migrates, serves, and shows the sign-in page."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import requests

from app.kernel.settings import Settings
from tests.conftest import new_master_key
from tests.live import ROOT, LiveServer
from tests.servers import free_port

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the locked backend without reaching for anything."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "-w", str(folder), str(ROOT)], check=True, cwd=folder)
    return next(folder.glob("watchword-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the locked packages and the wheel; its `bin` folder."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    locked = ["--require-hashes", "--only-binary", ":all:", "-r", str(ROOT / "requirements/run.txt")]
    _install(folder / "bin" / "python", *locked)
    _install(folder / "bin" / "python", "--no-deps", str(wheel))
    return folder / "bin"


def _install(python: Path, *arguments: str) -> None:
    """As scripts/install.sh does: uv, and pip where uv does not know of a mirror."""
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "-q", "--compile-bytecode"]
    uv += ["--python", str(python)]
    environment = os.environ | {"UV_SYSTEM_CERTS": "1"}
    if subprocess.run([*uv, *arguments], env=environment, check=False).returncode:
        subprocess.run([str(python), "-m", "pip", "install", "-q", *arguments], check=True)


def test_it_holds_templates_static_files_migrations_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        r"app/_bundle/templates/.*\.html",
        r"app/_bundle/static/.*\.css",
        r"app/_bundle/migrations/versions/.*\.py",
        r"app/_bundle/translations/de\.po",
        r"app/infra/state/.*\.lua",
        r"watchword-.*/licenses/LICENSE",
    ):
        assert any(re.fullmatch(wanted, name) for name in names), wanted
    assert not [
        name
        for name in names
        if name.startswith(("tests/", "templates/", "static/", "translations/", "bench/"))
    ]


@pytest.mark.parametrize("server", ["granian", "gunicorn"])
def test_it_serves_the_sign_in_page_with_its_style(installed: Path, tmp_path: Path, server: str) -> None:
    port = free_port()
    settings = Settings(
        base_url=f"http://127.0.0.1:{port}",
        port=port,
        workers=2,
        data_dir=tmp_path / "data",
        master_key=new_master_key(),
    )
    command = [str(installed / "watchword"), "serve", "--server", server]
    with InstalledServer(settings, command=command) as live:
        page = live.get("/sign-in")
        assert page.status_code == 200
        assert "Sign in" in page.text
        styles = re.findall(r'<link[^>]+rel="stylesheet"[^>]+href="([^"]+)"', page.text)
        assert styles
        for style in styles:
            answer = requests.get(live.base_url + style, timeout=10)
            assert answer.status_code == 200
            assert answer.headers["Content-Type"].startswith("text/css")
            assert len(answer.content) > 500


class InstalledServer(LiveServer):
    """Started from an empty folder with nothing of the checkout in sight."""

    def environment(self) -> dict[str, str]:
        """Without the checkout on the path."""
        found = super().environment()
        del found["PYTHONPATH"]
        return found
