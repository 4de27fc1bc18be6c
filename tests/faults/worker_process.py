"""A background worker for tests to kill: the real one, but for a short lease and a handler that writes to a file.

`python -m tests.faults.worker_process FILE`, with the settings in the environment. Without FILE its handlers are the
real ones, too.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app import wiring
from app.infra import logs, yaml
from app.infra.outbox import Outbox
from app.kernel.settings import load
from app.worker import Worker

LEASE_SECONDS = 1.5
TOPIC = "written"


def main(target: Path | None) -> None:
    """Work until SIGTERM."""
    settings = load(os.environ, parse_yaml=yaml.load)
    logs.setup(settings.log_level)
    services = wiring.build(settings)

    def write(tenant_id: str, payload: Mapping[str, Any]) -> None:
        assert target is not None
        with target.open("a") as file:
            file.write(f"{payload['subject']} {payload['number']}\n")
        time.sleep(0.01)  # a window in which to die after the deed and before it is noted

    outbox = Outbox(services.tenancy, lease_seconds=LEASE_SECONDS)
    worker = Worker(services, outbox=outbox, handlers={TOPIC: write} if target else None)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    worker.run()
    services.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
