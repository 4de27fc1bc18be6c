"""The folder all processes count in: made once, told to children, cleared of the dead, removed at the end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.serving import metrics

SCRIPT = """
import os, sys
if "early" in sys.argv:
    import prometheus_client
from app.serving.metrics import VARIABLE, remove_shared_metrics, share_metrics
share_metrics()
from prometheus_client import Counter, values
folder = os.environ[VARIABLE]
Counter("turns", "Turns.").inc()
print(os.path.isdir(folder), len(os.listdir(folder)), values.ValueClass.__name__)
remove_shared_metrics()
print(os.path.isdir(folder))
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(metrics.VARIABLE, raising=False)
    return tmp_path


@pytest.mark.parametrize("when", ["early", "late"])
def test_a_process_counts_in_the_folder_even_if_the_library_was_imported_before(
    tmp_path: Path, when: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != metrics.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, when],
        env=environment | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["True", "1", "MmapedValue", "False"]
    assert not list(tmp_path.iterdir())


def test_what_killed_servers_left_is_removed(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead, living = temporary / "watchword-metrics-4194305", temporary / "watchword-metrics-1"
    dead.mkdir()
    living.mkdir()
    monkeypatch.delitem(sys.modules, "prometheus_client", raising=False)
    monkeypatch.setenv(metrics.VARIABLE, "")
    metrics.share_metrics()
    assert not dead.exists()
    assert living.exists()
    assert Path(os.environ[metrics.VARIABLE]).is_dir()
    metrics.remove_shared_metrics()
    assert list(temporary.iterdir()) == [living]


def test_the_gauges_of_dead_processes_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead, living = tmp_path / "gauge_livesum_4194305.db", tmp_path / f"gauge_livesum_{os.getpid()}.db"
    counted = tmp_path / "counter_4194305.db"
    for file in (dead, living, counted):
        file.touch()
    monkeypatch.setenv(metrics.VARIABLE, str(tmp_path))
    metrics.forget_dead_processes()
    assert sorted(tmp_path.iterdir()) == sorted([living, counted])
