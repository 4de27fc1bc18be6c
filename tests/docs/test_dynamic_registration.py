"""The page about clients that register themselves, followed: a token, a registration, what becomes of it."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.docs.conftest import ReaderOf
from tests.docs.newcomer import Folder, Reading, apply
from tests.live import LiveServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

PAGE = "docs/how-to/dynamic-registration.md"
OFF = {"tenants": [{"slug": "default", "settings": {"registration": None}}]}


@pytest.fixture
def reading(documented: LiveServer, folder: Folder, reader: ReaderOf) -> Iterator[Reading]:
    """The page, its first apply file applied; registration is off again afterwards."""
    found = reader(PAGE)
    apply(folder, found.documents()[0])
    yield found
    apply(folder, OFF)


def command(reading: Reading, words: str) -> str:
    """The line of the page that begins with these words."""
    lines = [line for block in reading.page.blocks for line in block.commands or block.text.splitlines()]
    return reading.text(next(line for line in lines if line.startswith(words)))


def test_a_partner_registers(documented: LiveServer, folder: Folder, reading: Reading) -> None:
    """With the token that was printed, by the command of the page."""
    token = folder.run(command(reading, "watchword client registration-token create")).splitlines()[0]
    answer = json.loads(folder.run(command(reading, "curl").replace("THE-INITIAL-TOKEN", token) + " -s"))
    assert answer["client_name"] == "Partner portal"
    assert answer["registration_client_uri"].startswith(documented.base_url)
    assert "used 1 of 3" in folder.run(command(reading, "watchword client registration-token list"))
    assert answer["client_id"] in folder.run(command(reading, "watchword client list --registered"))
    folder.run(f"watchword client delete {answer['client_id']}")


def test_an_administrator_decides(documented: LiveServer, folder: Folder, reading: Reading) -> None:
    """Waiting, approved, limited, removed."""
    apply(folder, reading.documents()[1])
    token = folder.run(command(reading, "watchword client registration-token create")).splitlines()[0]
    answer = json.loads(folder.run(command(reading, "curl").replace("THE-INITIAL-TOKEN", token) + " -s"))
    client_id = answer["client_id"]
    pending = folder.run(command(reading, "watchword client list --pending"))
    digest = re.search(rf"^{client_id} .*portal\.example, digest ([0-9a-f]+)", pending, re.MULTILINE)
    assert digest, pending
    for words in ("watchword client approve", "watchword client limit", "watchword client delete"):
        if "limit" in words:
            assert "waits" not in folder.run("watchword client list --registered")
        folder.run(command(reading, words).replace("CLIENT_ID", client_id).replace("DIGEST", digest[1]))
    assert client_id not in folder.run("watchword client list --registered")
