"""A command in the wrong folder, or of the wrong account: nothing is written, and what is wrong is named."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import ROOT

NOBODY = 65534
AS_ANYBODY = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder everybody may look into, which those of pytest are not."""
    path = Path(tempfile.mkdtemp()).resolve()
    path.chmod(0o755)
    yield path
    for entry in path.rglob("*"):
        entry.chmod(0o700)
    shutil.rmtree(path)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder. Root is held to the permissions of files as everybody else is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")}
    return subprocess.run(
        [
            *AS_ANYBODY,
            sys.executable,
            "-B",
            "-c",
            "import sys; from app.cli import run; sys.exit(run(sys.argv[1:]))",
            *arguments,
        ],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments",
    [["client", "list"], ["doctor"], ["admin", "link"], ["worker"], ["keys", "list"], ["audit", "verify"]],
    ids=" ".join,
)
def test_the_wrong_folder(folder: Path, arguments: list[str]) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 1
    assert f"There is no deployment in {folder}/data. Go to its folder, or set WATCHWORD_DATA_DIR." in (
        done.stdout + done.stderr
    )
    assert "sqlalche" not in done.stdout + done.stderr
    assert list(folder.iterdir()) == []


def test_an_empty_database_is_no_deployment(folder: Path) -> None:
    (folder / "data").mkdir(mode=0o700)
    (folder / "data" / "watchword.db").touch()
    done = run(folder, "client", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"There is no deployment in {folder}/data." in done.stderr


@pytest.mark.parametrize("arguments", [["doctor"], ["migrate"], ["serve"], ["client", "list"]], ids=" ".join)
@pytest.mark.parametrize("lost", ["data", "data/watchword.db", "data/master.key"])
def test_another_account(folder: Path, arguments: list[str], lost: str) -> None:
    (folder / "data").mkdir(mode=0o700)
    for name in ("watchword.db", "master.key"):
        (folder / "data" / name).touch(mode=0o600)
    (folder / lost).chmod(0)
    if os.geteuid() == 0:
        os.chown(folder / lost, NOBODY, NOBODY)
    owner = pwd.getpwuid((folder / lost).stat().st_uid).pw_name
    done = run(folder, *arguments)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert str(folder / lost) in said
    assert f"it belongs to {owner}" in said
    assert "Please report this" not in said
    if arguments == ["doctor"]:
        assert f"✗ data folder: {folder / lost} cannot be" in said
