"""The pages for operators, done: tenants, audit, keys, backups, troubleshooting."""

import contextlib
import dataclasses
import json
import os
import shlex
import sqlite3
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import requests

from app.kernel.settings import Settings
from tests.conftest import database_urls, new_master_key
from tests.docs.conftest import ReaderOf
from tests.docs.newcomer import Folder, Reading, apply, clean_environment
from tests.live import LiveServer, environment
from tests.servers import APPLICATION_ROLE, OWNER_ROLE, SUPERUSER, PostgresServer, _binary, wait_until

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

ALGORITHMS = ("RS256", "ES256", "EdDSA")


def test_tenants_are_where_the_page_says(reader: ReaderOf, documented: LiveServer, folder: Folder) -> None:
    reading = reader("docs/how-to/tenants.md")
    acme, globex = reading.documents()
    apply(folder, acme)
    issuer, *documents, account = [
        reading.text(span) for span in reading.page.spans if span.startswith("https://id.example.com")
    ]
    wait_until(lambda: requests.get(documents[0], timeout=5).status_code == 200, seconds=5, what="the tenant")
    time.sleep(1)  # The other worker may have looked half a second earlier.
    for url in documents:
        assert requests.get(url, timeout=5).json()["issuer"] == issuer
    assert requests.get(account, timeout=5).status_code == 200
    typed = [line for block in reading.page.blocks for line in block.commands]
    link, *looks = [folder.run(f".venv/bin/{line}") for line in typed]
    assert f"{issuer}/first-admin/" in link
    assert "acme" in looks[0].split()
    apply(folder, globex)
    host = globex["tenants"][0]["host"]

    def known() -> bool:
        return documented.get("/jwks", headers={"Host": host}).status_code == 200

    wait_until(known, seconds=5, what="the host")
    assert documented.get("/jwks", headers={"Host": "nobody.example"}).status_code == 400
    assert documented.get("/t/globex/jwks").status_code == 404
    assert documented.get("/t/nobody/jwks").status_code == 404
    folder.run(".venv/bin/watchword tenant delete acme --yes")
    wait_until(
        lambda: requests.get(issuer + "/jwks", timeout=5).status_code == 404, seconds=5, what="it to go"
    )
    wait_until(
        lambda: "tenant.deleted" in folder.run(".venv/bin/watchword audit tail"),
        seconds=10,
        what="the record",
    )


def test_the_audit_page_holds(reader: ReaderOf, folder: Folder) -> None:
    apply(folder, {"tenants": [{"slug": "default", "groups": [{"name": "audited"}]}]})
    wait_until(
        lambda: "group" in folder.run(".venv/bin/watchword audit tail"), seconds=10, what="the first record"
    )
    typed = [line for block in reader("docs/how-to/audit.md").page.of("console") for line in block.commands]
    newest = json.loads(folder.run(".venv/bin/watchword audit tail -n 1 --json").splitlines()[-1])
    for line in typed:
        line = line.replace("HASH", newest["hash"])
        folder.run(f".venv/bin/{line}")
    members = {s for row in table(reader("docs/how-to/audit.md")) for s in row}
    assert members >= {"sequence", "hash", "user", "grant"}
    assert members <= newest.keys()


def table(reading: Reading) -> list[list[str]]:
    """The code spans in the first column of the page's tables."""
    rows = [line.split("|")[1] for line in reading.page.text.splitlines() if line.startswith("| `")]
    return [[word.strip(" `") for word in row.split(",")] for row in rows]


def test_the_doctor_and_token_explain_do_as_the_page_says(
    reader: ReaderOf, documented: LiveServer, folder: Folder
) -> None:
    said = folder.run(".venv/bin/watchword doctor")
    assert "✗" not in said
    assert said.startswith("✓")
    refused = documented.get("/authorize", params={"client_id": "nope"})
    reference = refused.headers["X-Request-Id"]
    assert reference in refused.text
    line = next(line for line in documented.log.splitlines() if reference in line and "refused" in line)
    shown = json.loads(reader("docs/how-to/troubleshooting.md").block("json"))
    found = json.loads(line)
    assert {**found, "request_id": shown["request_id"]}.items() >= shown.items()
    told = folder.run("printf %s abc | watchword token explain - || test $? -eq 1")
    assert "token.unknown" in told


def test_the_master_key_is_changed(reader: ReaderOf, tmp_path: Path) -> None:
    """Step by step as typed, on a deployment whose key is a file."""
    folder = Folder(tmp_path, clean_environment())
    folder.run("watchword migrate")
    kid = folder.run("watchword keys list").split()[2]
    old = (tmp_path / "data/master.key").read_text()
    prepend, rewrap, cut, doctor = (
        block.text.strip() for block in reader("docs/how-to/keys.md").page.of("sh")
    )
    folder.run(prepend)
    both = (tmp_path / "data/master.key").read_text()
    assert both.endswith(old)
    assert len(both.splitlines()) == 2
    assert "0 sealed values" not in folder.run(rewrap)
    folder.run(cut)
    assert (tmp_path / "data/master.key").read_text() == both.removesuffix(old)
    assert "✗" not in folder.run(doctor)
    assert kid in folder.run("watchword keys list")
    (tmp_path / "data/master.key").write_text(old)
    assert "✗ master key" in folder.run("watchword doctor || test $? -eq 1")


def test_signing_keys_are_rotated_and_revoked(reader: ReaderOf, tmp_path: Path) -> None:
    folder = Folder(tmp_path, clean_environment())
    folder.run("watchword migrate")
    commands = [line for block in reader("docs/how-to/keys.md").page.of("console") for line in block.commands]
    look, rotate, revoke = (line for line in commands if line.startswith("watchword keys"))
    first = states(folder.run(look))
    assert sorted(first) == sorted([(alg, state) for alg in ALGORITHMS for state in ("current", "next")])
    folder.run(rotate)
    rotated = states(folder.run(look))
    for alg in ALGORITHMS:
        assert rotated[alg, "current"] == first[alg, "next"]
        assert rotated[alg, "retired"] == first[alg, "current"]
    folder.run(revoke.replace("KID", rotated["ES256", "current"]))
    revoked = states(folder.run(look))
    assert revoked["ES256", "revoked"] == rotated["ES256", "current"]
    assert revoked["ES256", "current"] == rotated["ES256", "next"]


def states(listed: str) -> dict[tuple[str, str], str]:
    """Key ids by algorithm and state."""
    return {(alg, state): kid for alg, state, kid, *_ in map(str.split, listed.splitlines())}


def test_a_backup_holds_everything_and_can_be_restored(
    reader: ReaderOf, postgres_server: PostgresServer
) -> None:
    """With the role of the page; the application's and the owner's are refused."""
    page = reader("docs/how-to/production.md").page
    dump, restore = (
        next(b.text for b in page.of("sh") if b.text.startswith(tool)) for tool in ("pg_dump", "pg_restore")
    )
    binaries = Path(_binary("pg_dump")).parent
    with (
        postgres_server.database() as name,
        postgres_server.database() as copy,
        TemporaryDirectory() as place,
    ):
        settings = Settings(
            data_dir=Path(place), master_key=new_master_key(), **database_urls(postgres_server, name)
        )
        folder = Folder(Path(place), clean_environment_of(postgres_server, binaries, settings))
        folder.run("watchword migrate")
        for owner in (OWNER_ROLE, APPLICATION_ROLE):
            said = folder.run(f"pg_dump --username {owner} {name} 2>&1 >/dev/null || true")
            assert "row-level security" in said or "permission denied" in said, said
        with postgres_server.connect() as connection:
            for statement in page.of("sql")[0].text.split(";"):
                if statement.strip():
                    connection.execute(statement.strip())
        try:
            folder.run(dump.replace(" watchword\n", f" {name}\n"))
            with postgres_server.connect() as connection:
                connection.execute("DROP OWNED BY watchword_backup")
        finally:
            with postgres_server.connect() as connection:
                connection.execute("DROP ROLE IF EXISTS watchword_backup")
        restored = restore.replace("--username postgres", f"--username {SUPERUSER}").replace(
            "--dbname watchword", f"--dbname {copy}"
        )
        folder.run(restored)
        there = dataclasses.replace(settings, **database_urls(postgres_server, copy))
        folder.environment |= {k: v for k, v in environment(there).items() if k.startswith("WATCHWORD_")}
        assert "✗" not in folder.run("watchword doctor")
        assert states(folder.run("watchword keys list"))


def clean_environment_of(server: PostgresServer, binaries: Path, settings: Settings) -> dict[str, str]:
    """Where the PostgreSQL tools find the server."""
    ours = {k: v for k, v in environment(settings).items() if k.startswith("WATCHWORD_")}
    path = f"{binaries}:{os.environ['PATH']}"
    return clean_environment(**ours, PGHOST="127.0.0.1", PGPORT=str(server.port), PATH=path)


def test_sqlite_is_copied_while_it_is_written(reader: ReaderOf, tmp_path: Path) -> None:
    folder = Folder(tmp_path, clean_environment())
    folder.run("watchword migrate")
    line = next(
        b.text for b in reader("docs/how-to/production.md").page.of("sh") if b.text.startswith("sqlite3")
    )
    assert shlex.split(line) == ["sqlite3", "data/watchword.db", ".backup 'watchword-backup.db'"]
    # What `.backup` does (SQLite's online backup), without needing the program.
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "data/watchword.db")) as source,
        contextlib.closing(sqlite3.connect(tmp_path / "watchword-backup.db")) as target,
    ):
        source.execute("SELECT 1 FROM tenants")
        source.backup(target)
    kid = folder.run("watchword keys list").split()[2]
    for left in (tmp_path / "data").glob("*.db*"):
        left.unlink()
    (tmp_path / "watchword-backup.db").rename(tmp_path / "data/watchword.db")
    assert kid in folder.run("watchword keys list")
    assert "✗" not in folder.run("watchword doctor")
