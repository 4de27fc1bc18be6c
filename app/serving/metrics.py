"""One folder in which every process counts, so that `/metrics` of any web worker answers for all of them."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_NAME = "watchword-metrics-"


def share_metrics() -> None:
    """Give this process and its children a folder to count in, unless the operator named one. Call it first of all.

    prometheus_client reads the variable when it is imported; if that has happened, this process begins anew in place.
    """
    if os.environ.get(VARIABLE):
        return
    folder = _own_folder()
    for left in folder.parent.glob(_NAME + "*"):
        if left == folder or not Path("/proc", left.name.removeprefix(_NAME)).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.environ[VARIABLE] = str(folder)
    if "prometheus_client" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def remove_shared_metrics() -> None:
    """Delete the folder again, if `share_metrics` made it."""
    if os.environ.get(VARIABLE) == str(_own_folder()):
        shutil.rmtree(_own_folder(), ignore_errors=True)


def forget_dead_processes() -> None:
    """Drop what processes that were killed last said about themselves."""
    folder = os.environ.get(VARIABLE)
    for file in Path(folder).glob("gauge_live*_*.db") if folder else ():
        if not Path("/proc", file.stem.rpartition("_")[2]).exists():
            file.unlink(missing_ok=True)


def _own_folder() -> Path:
    # The process id outlives beginning anew.
    return Path(tempfile.gettempdir()) / f"{_NAME}{os.getpid()}"
