"""The container files and locks, read as data: what cannot be run here is at least held to its shape."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.infra import yaml
from app.kernel.settings import SETTING_NAMES, load
from tests.servers import PostgresServer

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """compose.yaml's services, its anchors resolved."""
    from ruamel.yaml import YAML

    document = YAML(typ="safe", pure=True).load((ROOT / "compose.yaml").read_text("utf-8"))
    found: dict[str, Any] = document["services"]
    return found


def test_compose_names_settings_that_exist(services: dict[str, Any]) -> None:
    for name in ("migrate", "web", "worker"):
        for variable in services[name]["environment"]:
            assert variable.removesuffix("_FILE") in SETTING_NAMES, variable


def test_compose_gives_the_owner_to_the_migration_alone(services: dict[str, Any]) -> None:
    assert "watchword_owner" in services["migrate"]["environment"]["WATCHWORD_MIGRATION_DATABASE_URL"]
    for name in ("web", "worker"):
        assert "WATCHWORD_MIGRATION_DATABASE_URL" not in services[name]["environment"]
        assert "watchword_app:" in services[name]["environment"]["WATCHWORD_DATABASE_URL"]


def test_compose_settings_load_once_their_variables_are_filled_in(
    services: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("one:" + "A" * 43)
    given = {"WATCHWORD_BASE_URL": "https://id.example.com", "WATCHWORD_APP_PASSWORD": "secret"}
    filled = {
        name: re.sub(
            r"\$\{(\w+):?[^}]*\}",
            lambda found: given.get(found[1], "x" * 8 * ("APP" in found[1])),
            str(value),
        )
        for name, value in services["web"]["environment"].items()
    }
    filled["WATCHWORD_MASTER_KEY_FILE"] = str(tmp_path / "key")
    settings = load(filled, parse_yaml=yaml.load)
    assert settings.is_https
    assert not settings.is_sqlite
    assert settings.redis_url


def test_compose_redis_forgets_nothing(services: dict[str, Any]) -> None:
    command = services["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_compose_exposes_nginx_alone_and_runs_the_worker_once(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["nginx"]
    assert services["web"]["command"] == ["serve", "--no-worker"]
    assert services["worker"]["command"] == ["worker"]
    assert services["migrate"]["restart"] == "no"
    for name in ("web", "worker"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", ["migrate", "web", "worker", "nginx"])
def test_compose_containers_are_read_only_and_without_privileges(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]


def test_the_proxy_is_trusted_and_lives_in_the_trusted_network(services: dict[str, Any]) -> None:
    from ruamel.yaml import YAML

    document = YAML(typ="safe", pure=True).load((ROOT / "compose.yaml").read_text("utf-8"))
    subnet = document["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert services["web"]["environment"]["WATCHWORD_TRUSTED_PROXIES"] == subnet


def instructions() -> Iterator[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield name, rest


def test_the_image_runs_as_an_unprivileged_user_with_a_health_check_and_ends_on_sigterm() -> None:
    final: dict[str, str] = {}
    for name, rest in instructions():
        final = {} if name == "FROM" else final | {name: rest}
    assert final["USER"] == "10001:10001"
    assert final["HEALTHCHECK"].endswith('CMD ["python", "/opt/watchword/deploy/health.py"]')
    assert json.loads(final["ENTRYPOINT"]) == ["watchword"]
    assert json.loads(final["CMD"]) == ["serve"]
    assert final["STOPSIGNAL"] == "SIGTERM"


def test_the_image_installs_by_hash_and_wheels_only_and_carries_no_build_tools() -> None:
    stages = [rest for name, rest in instructions() if name == "FROM"]
    assert len(stages) == 2
    installs = [rest for name, rest in instructions() if name == "RUN" and "-r requirements/" in rest]
    assert installs
    assert all("--require-hashes --only-binary :all:" in rest for rest in installs)
    assert not [
        rest for name, rest in instructions() if name == "RUN" and ("apt-get" in rest or "curl" in rest)
    ]


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert ignored[0] == "*"
    for name, rest in instructions():
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert "!" + source.split("/")[0] in ignored, source


@pytest.mark.parametrize("lock", ["run", "test", "build", "uv"])
def test_a_lock_has_hashes_and_no_addresses(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
    assert "://" not in text
    assert "--index" not in text
    for package in re.split(r"\n(?=[a-z0-9])", text):
        assert "--hash=sha256:" in package, package[:60]


def test_the_node_lock_has_hashes_and_no_addresses() -> None:
    packages = json.loads((ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    for path, package in packages.items():
        assert "resolved" not in package, path
        assert not path or package["integrity"].startswith("sha512-")


def test_the_roles_file_makes_a_database_the_server_accepts(tmp_path: Path) -> None:
    """The shipped SQL on a bare PostgreSQL: migrated by the owner, served by the application role."""
    from app.infra import migrations
    from app.kernel.settings import Settings
    from tests.conftest import new_master_key

    with PostgresServer() as postgres:
        with postgres.connect() as connection:
            for role in ("watchword_app", "watchword_owner", "watchword_system"):
                connection.execute(f"DROP ROLE {role}")
        command = ["psql", "-h", "127.0.0.1", "-p", str(postgres.port), "-U", "postgres"]
        passwords = {"WATCHWORD_OWNER_PASSWORD": "own'er", "WATCHWORD_APP_PASSWORD": "app"}
        done = subprocess.run(
            [*command, "-f", str(ROOT / "deploy/postgres-roles.sql")],
            env={"PATH": "/usr/bin:/bin"} | passwords,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        settings = Settings(
            data_dir=tmp_path,
            master_key=new_master_key(),
            database_url=f"postgresql+psycopg://watchword_app:app@127.0.0.1:{postgres.port}/watchword",
            migration_database_url=f"postgresql+psycopg://watchword_owner:x@127.0.0.1:{postgres.port}/watchword",
        )
        migrations.prepare(settings)
