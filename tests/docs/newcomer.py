"""Somebody who follows the pages to the letter: in an empty folder, with the commands as they are printed.

What a page cannot know is put in its place, and nothing else: `Reading.replace` says what (the port of this run, the
name of the reader's own server, the secret that was printed).
"""

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
import unittest.mock
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import requests

from app import cli
from app.infra.yaml import load
from tests.docs import pages
from tests.docs.pages import Block, Page
from tests.live import WATCHWORD
from tests.person import Form
from tests.person import Page as HtmlPage
from tests.servers import wait_until

OURS = ("watchword", ".venv/bin/watchword")
SECRET_LINE = "The secret of client "


class Reading:
    """A page, with what it cannot know replaced."""

    def __init__(self, name: str, replace: dict[str, str]) -> None:
        self.page: Page = pages.page(name)
        self.replace = replace

    def text(self, text: str) -> str:
        """The text as the reader would type it here."""
        for theirs, ours in self.replace.items():
            text = text.replace(theirs, ours)
        return text

    def block(self, language: str, number: int = 0) -> str:
        """A fenced block of a language."""
        return self.text(self.page.of(language)[number].text)

    def documents(self) -> list[dict[str, Any]]:
        """The apply files of the page. A block that is a part of a client goes into the last client before it."""
        found: list[dict[str, Any]] = []
        for block in self.page.of("yaml"):
            content = self._content(block)
            if "tenants" in content:
                found.append(content)
            else:
                tenant = found[-1]["tenants"][0]
                client = {**tenant["clients"][-1], **content}
                found.append({"tenants": [{"slug": tenant["slug"], "clients": [client]}]})
        return found

    def _content(self, block: Block) -> dict[str, Any]:
        lines = block.text.splitlines()
        margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        content: dict[str, Any] = load(self.text("\n".join(line[margin:] for line in lines)))
        return content


class Folder:
    """Where the reader works: the commands the pages call by `.venv/bin/` are there."""

    def __init__(self, path: Path, environment: dict[str, str]) -> None:
        self.path = path
        self.environment = environment | {"PATH": f"{path / '.venv/bin'}:{environment['PATH']}"}
        self.tool(path / ".venv/bin/watchword", WATCHWORD)

    def tool(self, path: Path, command: list[str]) -> None:
        """Put a command where a page says that it is."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        path.chmod(0o755)

    def write(self, name: str, text: str) -> None:
        """Save a file."""
        (self.path / name).write_text(text)

    def run(self, line: str) -> str:
        """A line of a console; what it printed. It has to succeed. Ours run in this process where they can."""
        words = line.split()
        if words[0] in OURS and not set(line) & set("|&;<>()$\"'"):
            return self._in_process(line, words[1:])
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def _in_process(self, line: str, arguments: list[str]) -> str:
        said = io.StringIO()
        with (
            contextlib.chdir(self.path),
            unittest.mock.patch.dict(os.environ, self.environment, clear=True),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            status = cli.run(arguments)
        assert status == 0, f"{line}: {status}\n{said.getvalue()}"
        return said.getvalue()

    @contextlib.contextmanager
    def running(self, line: str, url: str) -> Iterator[Path]:
        """A line of a console that stays, until `url` answers; gives the file with what it prints."""
        log = self.path / f"{Path(shlex.split(line)[0]).name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {line}"],
                cwd=self.path,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"{line} ended at once:\n{log.read_text()}")
            return is_up(url)

        try:
            wait_until(answers, seconds=60, what=line)
            yield log
        finally:
            process.terminate()
            process.wait(40)


def is_up(url: str) -> bool:
    """Whether an address answers without a fault."""
    try:
        return requests.get(url, timeout=5, headers={"Connection": "close"}).status_code == 200
    except requests.RequestException:
        return False


def printed_secret(output: str, client_id: str) -> str:
    """The secret `watchword apply` has shown for a client."""
    for line in output.splitlines():
        if line.startswith(f"{SECRET_LINE}{client_id},"):
            return line.rpartition(": ")[2]
    raise AssertionError(f"no secret of {client_id} in:\n{output}")


def apply(folder: Folder, document: Mapping[str, Any]) -> str:
    """Save and apply; what was printed."""
    folder.write("watchword.json", json.dumps(document))
    return folder.run(".venv/bin/watchword apply watchword.json")


def apply_anew(folder: Folder, document: Mapping[str, Any]) -> str:
    """The same, with clients that other pages have registered gone first."""
    for tenant in document["tenants"]:
        gone = [{"client_id": client["client_id"], "state": "absent"} for client in tenant.get("clients", [])]
        apply(folder, {"tenants": [{"slug": tenant["slug"], "clients": gone}]})
    return apply(folder, document)


def fill_in(session: requests.Session, url: str, button: str, **fields: str) -> requests.Response:
    """Open a page, fill in the form with this button, send it as a browser does."""
    shown = session.get(url, timeout=20)
    form: Form | None = HtmlPage(shown.url, shown.text).form_with(button)
    assert form is not None, f"no {button} at {shown.url}:\n{shown.text[:2000]}"
    name, value = form.buttons[button]
    data = form.fields | fields | ({name: value} if name else {})
    origin = "/".join(form.action.split("/", 3)[:3])
    return session.post(form.action, data=data, headers={"Origin": origin}, timeout=20)


def clean_environment(**more: str) -> dict[str, str]:
    """This process's environment without anything of ours, and the interpreter of the tests."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("WATCHWORD_", "AUTHLIB_"))
    }
    return kept | {"PYTHONPATH": str(pages.ROOT), "PYTHON": sys.executable} | more
