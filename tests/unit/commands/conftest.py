"""Running commands in this process, over the deployment of the run."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from app import cli
from app.kernel.settings import Settings
from app.web.services import Services
from tests.live import environment


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


Watchword = Callable[..., Done]


@pytest.fixture
def watchword(
    settings: Settings,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Watchword:
    """Run `watchword` with these arguments, and perhaps `stdin`."""
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        status = cli.run(list(arguments))
        services.versions.touch()
        out, err = capsys.readouterr()
        return Done(status, out, err)

    return run
