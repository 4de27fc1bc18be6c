"""One folder in which every process counts, so that `/metrics` of any web worker answers for all of them."""

import os
import sys
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics(folder: Path) -> None:
    """Point the metrics of this process and its children at `folder`, unless the operator named another.

    prometheus_client reads the variable when it is imported; if that has happened, this process begins anew in place.
    """
    if os.environ.get(VARIABLE):
        return
    os.environ[VARIABLE] = str(folder)
    if "prometheus_client" in sys.modules:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def forget(pid: int) -> None:
    """Drop the gauges of a process that has ended."""
    if os.environ.get(VARIABLE):
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]
