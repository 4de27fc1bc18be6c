"""The tutorial, followed to the letter: the server, the administrator, the client, the application, the greeting."""

import sys
from pathlib import Path

import pytest
import requests

from tests.docs import pages
from tests.docs.newcomer import Folder, Reading, clean_environment, fill_in, printed_secret
from tests.live import READY_PATH
from tests.person import Page, Person
from tests.servers import free_port, wait_until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

USERNAME, PASSWORD = "alice", "a few words are easy to keep"


def typed(reading: Reading) -> list[str]:
    """What the page has the reader type, in order."""
    return [reading.text(line) for block in reading.page.blocks for line in block.commands]


def test_the_first_client(tmp_path: Path) -> None:
    port, notes_port = free_port(), free_port()
    issuer, notes = f"http://localhost:{port}", f"http://127.0.0.1:{notes_port}"
    reading = Reading(
        "docs/tutorials/first-client.md",
        {
            "http://localhost:8000": issuer,
            "http://127.0.0.1:5000": notes,
            "--port 5000": f"--port {notes_port}",
        },
    )
    make_run, apply, install, flask_run, *looks = typed(reading)
    assert (make_run, install.partition(" ")[0]) == ("make run", "python3")
    settings = {"WATCHWORD_PORT": str(port), "WATCHWORD_BASE_URL": issuer, "WATCHWORD_WORKERS": "2"}
    folder = Folder(tmp_path, clean_environment(**settings))
    # What `make run` does once it has made the environment.
    (tmp_path / "scripts").symlink_to(pages.ROOT / "scripts")
    folder.tool(tmp_path / flask_run.split()[0], [sys.executable, "-m", "flask"])
    with folder.running("scripts/run", issuer + READY_PATH) as log:
        browser = requests.Session()
        become_administrator(browser, issuer, log)
        folder.write("watchword.yaml", reading.block("yaml"))
        said = folder.run(apply)
        for shown in reading.block("text").splitlines():
            assert shown.removesuffix("...") in said
        secret = printed_secret(said, "notes")
        folder.write("notes.py", reading.block("python").replace("PUT THE SECRET HERE", secret))
        assert "Nothing to change." in folder.run(apply)
        with folder.running(flask_run, notes):
            greeting = sign_in(browser, notes)
            assert greeting == f"Hello {USERNAME}"
        assert "Notes" in browser.get(f"{issuer}/account/applications", timeout=20).text
        assert len(looks) == 1
        wait_until(lambda: "token.issued" in folder.run(looks[0]), seconds=20, what=looks[0])


def become_administrator(browser: requests.Session, issuer: str, log: Path) -> None:
    """Open the link that was printed."""
    link = next(line.strip() for line in log.read_text().splitlines() if "/first-admin/" in line)
    assert link.startswith(issuer)
    refused = fill_in(browser, link, "continue", username=USERNAME, password="fourteen-chars")
    assert refused.status_code == 400
    assert "15 characters" in refused.text
    protect = fill_in(browser, link, "continue", username=USERNAME, password=PASSWORD)
    assert protect.status_code == 200
    assert "Your organization asks for a second step" in protect.text
    person = Person(USERNAME, PASSWORD)
    person.session = browser
    start = person.protect(protect)
    assert start.status_code == 200
    assert f"Hello, <bdi>{USERNAME}</bdi>" in start.text
    assert browser.get(link, timeout=20).status_code == 404, "the link works twice"


def sign_in(browser: requests.Session, notes: str) -> str:
    """From the application's link to what it says in the end, in the browser that is signed in already."""
    person = Person(USERNAME, PASSWORD)
    person.session = browser
    first = browser.get(notes, timeout=20)
    assert first.text == '<a href="/login">Sign in</a>'
    assert Page(notes, first.text).forms == []
    returned = person.walk(f"{notes}/login", f"{notes}/callback")
    assert not [step for step in person.visited if "/sign-in" in step], (
        "asked for a password although signed in"
    )
    return browser.get(returned, timeout=20).text
