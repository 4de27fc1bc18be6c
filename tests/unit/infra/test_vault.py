"""Sealing, its keys, and the deployment's secrets."""

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from app.infra import master_key
from app.infra.key_tables import DeploymentSecret
from app.infra.tenancy import SystemReason, Tenancy
from app.infra.vault import OVERHEAD_BYTES, DeploymentSecrets, SealError, Vault
from app.kernel.errors import ConfigurationError
from app.kernel.settings import Settings

KEY, OTHER = os.urandom(32), os.urandom(32)
PLACE = {"tenant": "t1", "table": "clients", "column": "secret_sealed", "row": "web"}


@pytest.fixture
def vault() -> Vault:
    return Vault({"a": KEY})


def test_what_is_sealed_opens_in_its_place(vault: Vault) -> None:
    for size in (0, 1, 32, 5000):
        plaintext = os.urandom(size)
        envelope = vault.seal("p", plaintext, **PLACE)
        assert len(envelope) == size + OVERHEAD_BYTES
        assert vault.open("p", envelope, **PLACE) == plaintext


def test_the_same_value_is_never_sealed_alike(vault: Vault) -> None:
    assert len({vault.seal("p", b"secret", **PLACE) for _ in range(100)}) == 100


@pytest.mark.parametrize("part", ["tenant", "table", "column", "row"])
def test_an_envelope_moved_elsewhere_does_not_open(vault: Vault, part: str) -> None:
    envelope = vault.seal("p", b"secret", **PLACE)
    for value in ("", "t2", PLACE[part] + "x"):
        with pytest.raises(SealError):
            vault.open("p", envelope, **{**PLACE, part: value})


def test_places_that_read_alike_are_not_the_same(vault: Vault) -> None:
    """The parts are length-prefixed: moving a character over a border gives another place."""
    envelope = vault.seal("p", b"secret", tenant="ab", table="c", column="d", row="e")
    for tenant, table, column, row in (("a", "bc", "d", "e"), ("ab", "c", "de", ""), ("ab", "", "cd", "e")):
        with pytest.raises(SealError):
            vault.open("p", envelope, tenant=tenant, table=table, column=column, row=row)


def test_another_purpose_does_not_open(vault: Vault) -> None:
    with pytest.raises(SealError):
        vault.open("q", vault.seal("p", b"secret", **PLACE), **PLACE)


def test_every_flipped_bit_and_every_cut_is_noticed(vault: Vault) -> None:
    envelope = vault.seal("p", b"secret", **PLACE)
    for position, bit in itertools.product(range(len(envelope)), range(8)):
        changed = bytearray(envelope)
        changed[position] ^= 1 << bit
        with pytest.raises(SealError):
            vault.open("p", bytes(changed), **PLACE)
    for length in range(len(envelope)):
        with pytest.raises(SealError):
            vault.open("p", envelope[:length], **PLACE)
    with pytest.raises(SealError):
        vault.open("p", envelope + b"\0", **PLACE)


def test_the_first_key_seals_and_all_open() -> None:
    old = Vault({"a": KEY})
    both = Vault({"b": OTHER, "a": KEY})
    envelope = old.seal("p", b"secret", **PLACE)
    assert both.open("p", envelope, **PLACE) == b"secret"
    assert not both.is_current(envelope)
    again = both.rewrap("p", envelope, **PLACE)
    assert both.is_current(again)
    assert Vault({"b": OTHER}).open("p", again, **PLACE) == b"secret"
    with pytest.raises(SealError, match="not configured"):
        old.open("p", again, **PLACE)


def test_a_key_of_the_right_name_but_wrong_content_does_not_open(vault: Vault) -> None:
    with pytest.raises(SealError, match="another key of this id"):
        Vault({"a": OTHER}).open("p", vault.seal("p", b"secret", **PLACE), **PLACE)


def test_refusals_tell_the_place_but_nothing_sealed(vault: Vault) -> None:
    envelope = vault.seal("p", b"secret", **PLACE)
    with pytest.raises(SealError) as refused:
        vault.open("q", envelope, **PLACE)
    assert "clients.secret_sealed, row web, tenant t1" in refused.value.detail
    assert "secret_sealed" not in refused.value.public
    assert refused.value.status == 500


def test_lines_of_master_keys() -> None:
    one, two = master_key.new_master_line(), master_key.new_master_line()
    assert one != two
    keys = master_key.parse(f"{one}\n  {two}\n", source="X")
    assert list(keys) == [one.partition(":")[0], two.partition(":")[0]]
    assert master_key.parse(f"{one},{two}", source="X") == keys
    assert all(len(key) == 32 for key in keys.values())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "id:",
        ":AAAA",
        "id:AAAA",
        "id:" + "A" * 44,
        "i d:" + "A" * 43,
        "id:" + "!" * 43,
        "é:" + "A" * 43,
    ],
)
def test_bad_lines_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        master_key.parse(text, source="WATCHWORD_MASTER_KEY")
    assert all(fault.startswith("WATCHWORD_MASTER_KEY: key ") for fault in refused.value.faults)
    assert "AAAA" not in str(refused.value)


def test_repeated_ids_and_repeated_keys_are_refused() -> None:
    line = master_key.new_master_line()
    key = line.partition(":")[2]
    for second in (line, f"other:{key}", f"{line.partition(':')[0]}:{'A' * 43}"):
        with pytest.raises(ConfigurationError, match="key 2 repeats"):
            master_key.parse(f"{line}\n{second}", source="X")


def test_a_vault_without_keys_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        Vault({})


def test_the_first_start_on_sqlite_makes_a_key_and_later_ones_find_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    envelope = Vault.from_settings(settings).seal("p", b"secret", **PLACE)
    path = settings.data_dir / "master.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert Vault.from_settings(settings).open("p", envelope, **PLACE) == b"secret"
    assert os.listdir(path.parent) == ["master.key"]


def test_starts_at_once_agree_on_one_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    barrier = threading.Barrier(16)

    def start(_: int) -> Vault:
        barrier.wait(10)
        return Vault.from_settings(settings)

    with ThreadPoolExecutor(16) as pool:
        vaults = list(pool.map(start, range(16)))
    envelope = vaults[0].seal("p", b"secret", **PLACE)
    assert [vault.open("p", envelope, **PLACE) for vault in vaults] == [b"secret"] * 16
    assert os.listdir(settings.data_dir) == ["master.key"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_file_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    settings = Settings(data_dir=tmp_path)
    Vault.from_settings(settings)
    (tmp_path / "master.key").chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        Vault.from_settings(settings)


def test_an_empty_or_torn_key_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    for content in ("", "mk-1:AAAA", "\udcff"):
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
        path.chmod(0o600)
        with pytest.raises(ConfigurationError, match=str(path)):
            Vault.from_settings(Settings(data_dir=tmp_path))


def test_a_configured_key_wins_over_the_file_and_makes_none(tmp_path: Path) -> None:
    line = master_key.new_master_line()
    Vault.from_settings(Settings(data_dir=tmp_path, master_key=line))
    assert os.listdir(tmp_path) == []


def test_postgresql_without_a_key_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url="postgresql+psycopg://db/ww")
    with pytest.raises(ConfigurationError, match="required with PostgreSQL"):
        Vault.from_settings(settings)
    assert os.listdir(tmp_path) == []


def test_a_lost_key_file_is_never_replaced(key_settings: Settings, key_tenancy: Tenancy) -> None:
    """Contracts 6: a new key in place of a lost one would hide that nothing sealed opens any more."""
    DeploymentSecrets(key_tenancy, Vault.from_settings(key_settings)).pepper()
    path = key_settings.data_dir / "master.key"
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(ConfigurationError, match="Put the file back"):
        Vault.from_settings(key_settings)
    assert not path.exists()
    path.touch(0o600)
    path.write_bytes(content)
    DeploymentSecrets(key_tenancy, Vault.from_settings(key_settings)).check()


def test_an_empty_database_does_not_keep_the_first_key_from_being_made(
    key_settings: Settings, key_tenancy: Tenancy
) -> None:
    Vault.from_settings(key_settings)
    assert (key_settings.data_dir / "master.key").exists()


def test_deployment_secrets_are_made_once_and_sealed(keys_tenancy: Tenancy, vault: Vault) -> None:
    secrets = DeploymentSecrets(keys_tenancy, vault)
    pepper, salt = secrets.pepper(), secrets.pairwise_salt()
    assert len(pepper) == len(salt) == 32
    assert pepper != salt
    other = DeploymentSecrets(keys_tenancy, vault)
    assert (other.pepper(), other.pairwise_salt()) == (pepper, salt)
    with keys_tenancy.system(SystemReason.DEPLOYMENT_SECRETS) as session:
        rows = session.scalars(select(DeploymentSecret)).all()
    assert {row.name for row in rows} == {"pepper", "pairwise_salt"}
    assert not any(pepper in row.value_sealed or salt in row.value_sealed for row in rows)


def test_deployment_secrets_swapped_in_the_database_do_not_open(keys_tenancy: Tenancy, vault: Vault) -> None:
    secrets = DeploymentSecrets(keys_tenancy, vault)
    secrets.pepper(), secrets.pairwise_salt()
    with keys_tenancy.system(SystemReason.DEPLOYMENT_SECRETS, write=True) as session:
        pepper, salt = (session.get_one(DeploymentSecret, name) for name in ("pepper", "pairwise_salt"))
        pepper.value_sealed, salt.value_sealed = salt.value_sealed, pepper.value_sealed
    with pytest.raises(SealError):
        DeploymentSecrets(keys_tenancy, vault).pepper()
    assert secrets.pepper(), "a running process keeps what it has"


def test_a_wrong_master_key_is_told_at_start(keys_tenancy: Tenancy, vault: Vault) -> None:
    DeploymentSecrets(keys_tenancy, vault).check()
    for wrong in (Vault({"a": OTHER}), Vault({"z": KEY})):
        with pytest.raises(ConfigurationError, match="no configured key opens"):
            DeploymentSecrets(keys_tenancy, wrong).check()
    DeploymentSecrets(keys_tenancy, Vault({"b": OTHER, "a": KEY})).check()


def test_processes_that_start_at_once_agree(keys_tenancy: Tenancy, vault: Vault) -> None:
    barrier = threading.Barrier(8)

    def start(_: int) -> bytes:
        secrets = DeploymentSecrets(keys_tenancy, vault)
        barrier.wait(10)
        return secrets.pepper()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1
