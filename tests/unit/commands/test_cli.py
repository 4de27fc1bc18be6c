"""The command line as a whole: help, exit statuses, and errors as sentences."""

import json
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from app import cli
from app.commands.runtime import services as open_services
from app.domain.tenants import TenantContext
from app.kernel.settings import SETTING_NAMES
from tests.unit.commands.conftest import Watchword

PROMISED = (
    "serve worker migrate doctor apply config.check admin.link keys.list keys.rotate keys.revoke keys.rewrap "
    "keys.new-master token.explain audit.tail audit.verify audit.export"
).split() + [
    f"{kind}.{action}"
    for kind in ("tenant", "user", "group", "role", "client", "resource")
    for action in ("list", "show", "create", "update", "delete")
]


@pytest.mark.parametrize("name", PROMISED)
def test_the_promised_commands_exist_and_explain_themselves(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command: click.Command = cli.cli
    for part in name.split("."):
        assert isinstance(command, click.Group)
        command = command.commands[part]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))
    assert cli.run([*name.split("."), "--help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: watchword ")


def test_help_is_quick() -> None:
    """Heavy libraries are imported by the commands that need them, not by all."""
    code = "import sys, app.cli; print([m for m in ('sqlalchemy', 'flask', 'pydantic', 'authlib') if m in sys.modules])"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "status"), [([], 2), (["nonsense"], 2), (["keys", "rotate", "--alg"], 2)]
)
def test_wrong_usage(arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(arguments) == status
    assert capsys.readouterr().err


def test_bad_settings_are_told_all_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in SETTING_NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WATCHWORD_PORT", "none")
    monkeypatch.setenv("WATCHWORD_COLOUR", "blue")
    assert cli.run(["config", "check"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "WATCHWORD_PORT" in told.err
    assert "WATCHWORD_COLOUR: no such setting" in told.err


def test_config_check_hides_secrets(watchword: Watchword, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHWORD_SMTP_URL", "smtp://mailer:hunter2-hunter2@mail.example:587")
    done = watchword("config", "check", "--json")
    assert done.json["WATCHWORD_MASTER_KEY"] == "(set)"
    assert done.json["WATCHWORD_SMTP_URL"] == "smtp://mailer:***@mail.example:587"
    assert "hunter2" not in done.out + done.err


def test_a_fault_of_ours_is_told_without_the_values_at_hand(
    watchword: Watchword, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("at client_secret=very-secret-value")

    monkeypatch.setattr("app.commands.config.settings", broken)
    done = watchword("config", "check")
    assert done.status == 1
    assert "RuntimeError" in done.err
    assert "very-secret-value" not in done.err


def test_admin_link_is_made_once_per_tenant(watchword: Watchword, tenant: TenantContext) -> None:
    done = watchword("admin", "link", "--tenant", tenant.slug, "--json")
    assert done.json["url"].startswith(f"{tenant.issuer}/first-admin/")
    watchword("user", "create", "-", "--tenant", tenant.slug, stdin="{username: root, roles: [super_admin]}")
    refused = watchword("admin", "link", "--tenant", tenant.slug)
    assert (refused.status, "already" in refused.err) == (1, True)
    assert watchword("admin", "link", "--recover", "--tenant", tenant.slug).status == 0


def test_keys(watchword: Watchword, tenant: TenantContext) -> None:
    here = ("--tenant", tenant.slug, "--json")
    watchword("keys", "rotate", *here)
    before = {key["kid"]: key for key in watchword("keys", "list", *here).json}
    rotated = watchword("keys", "rotate", "--alg", "ES256", *here).json
    assert before[rotated["ES256"]]["state"] == "next"
    assert list(rotated) == ["ES256"]
    assert watchword("keys", "revoke", rotated["ES256"], *here).status == 0
    states = {key["kid"]: key["state"] for key in watchword("keys", "list", *here).json}
    assert states[rotated["ES256"]] == "revoked"
    assert watchword("keys", "revoke", "unknown", *here).status == 1
    assert watchword("keys", "revoke", "-sx0_begins-with-a-hyphen", *here).status == 1
    assert watchword("keys", "rotate", "--alg", "HS256", *here).status == 1


def test_a_new_master_line_can_be_used(watchword: Watchword) -> None:
    from app.infra import master_key

    line = watchword("keys", "new-master").out.strip()
    assert len(master_key.parse(line, source="here")) == 1


def test_audit(watchword: Watchword, tenant: TenantContext) -> None:
    from app.infra import audit_chain
    from app.infra.audit import Event

    here = ("--tenant", tenant.slug)
    assert "no records" in watchword("audit", "verify", *here).out
    with open_services() as parts, parts.tenancy.session(tenant.id, write=True) as session:
        told = [
            Event("role.created", tenant_id=tenant.id, outcome="success", data={"name": name}).as_record()
            for name in ("one", "two", "three")
        ]
        audit_chain.append(session, tenant.id, told)
    lines = watchword("audit", "tail", "-n", "2", *here, "--json").out.splitlines()
    assert [json.loads(line)["data"]["name"] for line in lines] == ["two", "three"]
    assert len(watchword("audit", "export", *here).out.splitlines()) == 3
    assert watchword("audit", "verify", "--head", json.loads(lines[0])["hash"], *here).status == 0
    refused = watchword("audit", "verify", "--head", "0" * 64, *here)
    assert (refused.status, "broken" in refused.err) == (1, True)


def test_commands_do_not_linger(watchword: Watchword, tenant: TenantContext) -> None:
    """Threads and connections are closed: a command in a script returns at once."""
    started = time.monotonic()
    watchword("user", "list", "--tenant", tenant.slug)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("module", "arguments"), [("click", ["--help"]), ("sqlalchemy", ["tenant", "list"])])
def test_an_interrupt_ends_quietly_from_the_first_moment_on(module: str, arguments: list[str]) -> None:
    """While the command itself is still being loaded, and while it loads what it needs."""
    code = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        # A shell that starts something in the background has it ignore Ctrl-C.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from app.entry import main\n"
        "main()\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip() == ""
