"""Sealing what must not lie in the database in the clear (contracts 6), and the deployment's own secrets.

An envelope is `version (1) || key id (8) || nonce (12) || ciphertext and tag`: 37 bytes longer than what it holds.
AES-256-GCM under a subkey per master key and purpose; the place the value lies in is associated data, so that an
envelope moved to another tenant, table, column or row does not open.
"""

import hashlib
import os
import threading
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy.exc import IntegrityError

from app.infra import master_key
from app.infra.key_tables import DeploymentSecret
from app.infra.master_key import MasterKeys, new_master_line
from app.infra.tenancy import SystemReason, Tenancy
from app.kernel.errors import ConfigurationError, Problem
from app.kernel.settings import Settings

__all__ = ["OVERHEAD_BYTES", "DeploymentSecrets", "SealError", "Vault", "new_master_line"]

_VERSION = b"\x01"
_ID_BYTES = 8
_NONCE_BYTES = 12
_TAG_BYTES = 16
_HEAD_BYTES = len(_VERSION) + _ID_BYTES

OVERHEAD_BYTES = _HEAD_BYTES + _NONCE_BYTES + _TAG_BYTES


class SealError(Problem):
    """A sealed value does not open: another master key, another place, or it was tampered with."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "vault.sealed",
            "The service cannot read its own data. Tell its operator.",
            detail=detail,
            status=500,
        )


class Vault:
    """Seals with the first of `master_keys`, opens with any of them."""

    def __init__(self, master_keys: MasterKeys) -> None:
        self._keys = {_identify(name): key for name, key in master_keys.items()}
        if not self._keys or len(self._keys) != len(master_keys):
            raise ConfigurationError(["WATCHWORD_MASTER_KEY: keys with distinct ids are wanted"])
        self._first = next(iter(self._keys))
        self._ciphers: dict[tuple[bytes, str], AESGCM] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The deployment's vault. Raises `ConfigurationError` as `master_key.load` does."""
        return cls(master_key.load(settings))

    def seal(
        self, purpose: str, plaintext: bytes, *, tenant: str, table: str, column: str, row: str
    ) -> bytes:
        """The envelope of `plaintext` for one place. `tenant` is empty for what belongs to the deployment."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _VERSION + self._first
        place = _place(head, tenant, table, column, row)
        return head + nonce + self._cipher(self._first, purpose).encrypt(nonce, plaintext, place)

    def open(self, purpose: str, envelope: bytes, *, tenant: str, table: str, column: str, row: str) -> bytes:
        """What `seal` was given with the same purpose and place. Raises `SealError` otherwise."""
        where = f"{table}.{column}, row {row}, tenant {tenant or '-'}"
        if len(envelope) < OVERHEAD_BYTES or envelope[:1] != _VERSION:
            raise SealError(f"{where}: not an envelope")
        head, key_id = envelope[:_HEAD_BYTES], envelope[1:_HEAD_BYTES]
        if key_id not in self._keys:
            raise SealError(f"{where}: sealed with a master key that is not configured")
        nonce, sealed = (
            envelope[_HEAD_BYTES : _HEAD_BYTES + _NONCE_BYTES],
            envelope[_HEAD_BYTES + _NONCE_BYTES :],
        )
        try:
            return self._cipher(key_id, purpose).decrypt(
                nonce, sealed, _place(head, tenant, table, column, row)
            )
        except InvalidTag:
            raise SealError(
                f"{where}: tampered with, or sealed elsewhere, or by another key of this id"
            ) from None

    def is_current(self, envelope: bytes) -> bool:
        """Whether the first master key sealed it, so that it needs no rewrapping."""
        return envelope[:_HEAD_BYTES] == _VERSION + self._first

    def rewrap(
        self, purpose: str, envelope: bytes, *, tenant: str, table: str, column: str, row: str
    ) -> bytes:
        """The same value sealed with the first master key. Raises `SealError` when it does not open."""
        plaintext = self.open(purpose, envelope, tenant=tenant, table=table, column=column, row=row)
        return self.seal(purpose, plaintext, tenant=tenant, table=table, column=column, row=row)

    def _cipher(self, key_id: bytes, purpose: str) -> AESGCM:
        cipher = self._ciphers.get((key_id, purpose))
        if cipher is None:
            info = b"watchword vault 1 " + purpose.encode("utf-8")
            cipher = AESGCM(HKDF(SHA256(), 32, salt=None, info=info).derive(self._keys[key_id]))
            self._ciphers[key_id, purpose] = cipher
        return cipher


def _identify(name: str) -> bytes:
    # Ids differ in length; their digest gives every envelope the same overhead.
    return hashlib.sha256(name.encode("utf-8")).digest()[:_ID_BYTES]


def _place(head: bytes, *parts: str) -> bytes:
    """The associated data: length-prefixed, so that no two places have the same."""
    encoded = [part.encode("utf-8") for part in parts]
    return head + b"".join(len(part).to_bytes(4) + part for part in encoded)


class DeploymentSecrets:
    """Random values of the whole deployment, made once by whichever process comes first, then kept in memory."""

    PURPOSE = "deployment-secret"
    TABLE = "deployment_secrets"
    COLUMN = "value_sealed"
    BYTES = 32

    def __init__(self, tenancy: Tenancy, vault: Vault) -> None:
        self._tenancy = tenancy
        self._vault = vault
        self._known: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def pepper(self) -> bytes:
        """The key of keyed hashes of generated secrets."""
        return self._known.get("pepper") or self._find("pepper")

    def pairwise_salt(self) -> bytes:
        """What pairwise subject identifiers are derived with (OpenID Connect Core section 8.1)."""
        return self._known.get("pairwise_salt") or self._find("pairwise_salt")

    def check(self) -> None:
        """Show at start that the configured master key is the one this database was sealed with.

        Raises `ConfigurationError` when it is not.
        """
        try:
            self.pepper()
        except SealError as fault:
            sentence = (
                "WATCHWORD_MASTER_KEY: no configured key opens what this database holds. Add the line it was "
                f"sealed with, below the first if you are rotating ({fault.detail})"
            )
            raise ConfigurationError([sentence]) from None

    def _find(self, name: str) -> bytes:
        with self._lock:
            if name not in self._known:
                sealed = self._read(name) or self._make(name)
                self._known[name] = self._vault.open(self.PURPOSE, sealed, **self._place(name))
            return self._known[name]

    def _read(self, name: str) -> bytes | None:
        with self._tenancy.system(SystemReason.DEPLOYMENT_SECRETS) as session:
            row = session.get(DeploymentSecret, name)
            return row.value_sealed if row else None

    def _make(self, name: str) -> bytes:
        sealed = self._vault.seal(self.PURPOSE, os.urandom(self.BYTES), **self._place(name))
        try:
            with self._tenancy.system(SystemReason.DEPLOYMENT_SECRETS, write=True) as session:
                existing = session.get(DeploymentSecret, name)
                if existing:
                    return existing.value_sealed
                session.add(DeploymentSecret(name=name, value_sealed=sealed))
        except IntegrityError:
            # Another process was first: its value counts.
            found = self._read(name)
            if found is None:
                raise
            return found
        return sealed

    def _place(self, name: str) -> dict[str, str]:
        return {"tenant": "", "table": self.TABLE, "column": self.COLUMN, "row": name}
