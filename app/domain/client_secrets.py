"""Client secrets (contracts 7): generated ones as keyed hash, chosen ones as argon2id, sealed where HS256 is used."""

import re
import secrets as random
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.models import Client
from app.infra.passwords import Passwords
from app.infra.vault import Vault
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import b64url, equal, keyed_hash, new_secret

PURPOSE = "client-secret"
TABLE, COLUMN, ROW = "clients", "secret_sealed", "client_id"
FORMER_COLUMN = "former_secret_sealed"

MIN_CHOSEN_CHARACTERS = 32
MIN_SYMMETRIC_BYTES = 32
MAX_CHARACTERS = 512
MEMO_ENTRIES = 10_000

_KEYED = "hmac-sha256:"
_VSCHAR = re.compile(r"[\x20-\x7e]+")


@dataclass(frozen=True, slots=True)
class Issued:
    """A new secret, shown once, and what is stored in its place."""

    secret: str
    stored: str


class ClientSecrets:
    """Makes and verifies client secrets.

    `pepper` is the deployment's; `loopback` says that only this machine reaches the server, where developers
    may choose short secrets.
    """

    def __init__(
        self, pepper: Callable[[], bytes], passwords: Passwords, vault: Vault, *, loopback: bool
    ) -> None:
        self._pepper = pepper
        self._passwords = passwords
        self._vault = vault
        self._loopback = loopback
        self._memo = _Memo(MEMO_ENTRIES)
        self._dummy = _KEYED + new_secret()

    def issue(self) -> Issued:
        """A generated secret of 256 bits."""
        secret = new_secret()
        return Issued(secret, self._keyed(secret))

    def check(self, secret: str) -> None:
        """Refuse a chosen secret that is not good enough.

        Raises `Problem`: `client.secret_weak` for one shorter than `MIN_CHOSEN_CHARACTERS` unless this is a
        loopback deployment, `client.secret_invalid` for characters a secret cannot have (RFC 6749 appendix A.2).
        """
        if not _VSCHAR.fullmatch(secret) or len(secret) > MAX_CHARACTERS:
            raise Problem(
                "client.secret_invalid",
                f"A client secret is 1 to {MAX_CHARACTERS} printable ASCII characters (RFC 6749 appendix A.2).",
            )
        if len(secret) < MIN_CHOSEN_CHARACTERS and not self._loopback:
            raise Problem(
                "client.secret_weak",
                f"A chosen client secret has at least {MIN_CHOSEN_CHARACTERS} characters; "
                "leave it out and a strong one is generated.",
            )

    def is_short(self, secret: str) -> bool:
        """Whether a chosen secret passes only because no other machine reaches this server."""
        return self._loopback and len(secret) < MIN_CHOSEN_CHARACTERS

    def choose(self, secret: str) -> str:
        """What is stored of a secret somebody chose. Raises `Problem` as `check` does, and `Unavailable`."""
        self.check(secret)
        return self._passwords.hash(secret)

    def verify(
        self, presented: str, stored: str | None, *, before_hashing: Callable[[], object] | None = None
    ) -> bool:
        """Whether `presented` is the secret of `stored`; None is a client without one, or none at all.

        In constant time. A chosen secret costs an argon2id hash once per process, for however many ask at that moment,
        and a keyed hash from then on.
        `before_hashing` is called first, for callers to ask their limits. Raises what that raises, and `Unavailable`
        when too many of those hashes are asked for at once.
        """
        if stored is None or stored.startswith(_KEYED):
            return equal(self._keyed(presented), stored or self._dummy) and stored is not None
        if self._memo.knows(presented, stored):
            return True
        if not _VSCHAR.fullmatch(presented) or len(presented) > MAX_CHARACTERS:
            return False
        if before_hashing is not None:
            before_hashing()
        return self._memo.asked_once(presented, stored, lambda: self._passwords.verify(presented, stored).ok)

    def seal(self, tenant_id: str, client_id: str, secret: str) -> bytes:
        """The sealed secret of a client that signs with it (`client_secret_jwt`, OIDC Core section 9).

        Raises `Problem` (`client.secret_weak`) when it is shorter than HS256 needs (RFC 7518 section 3.2).
        """
        if len(secret.encode("utf-8")) < MIN_SYMMETRIC_BYTES:
            raise Problem(
                "client.secret_weak", f"A secret for HS256 has at least {MIN_SYMMETRIC_BYTES} bytes."
            )
        return self._vault.seal(PURPOSE, secret.encode("utf-8"), **_place(tenant_id, client_id))

    def open(self, tenant_id: str, client_id: str, sealed: bytes) -> bytes:
        """The secret `seal` was given, as the bytes of an HS256 key. Raises `SealError`."""
        return self._vault.open(PURPOSE, sealed, **_place(tenant_id, client_id))

    def retire(self, row: Client, grace_seconds: int) -> None:
        """Make a client's secret its former one, before it is given another: good for the grace, if there is one.

        A secret retired before is good no more: two live at the same time.
        """
        row.former_secret_hash = row.former_secret_sealed = row.former_secret_expires_at = None
        if grace_seconds <= 0 or (row.secret_hash is None and row.secret_sealed is None):
            return
        row.former_secret_hash = row.secret_hash
        if row.secret_sealed is not None:
            secret = self.open(row.tenant_id, row.client_id, row.secret_sealed)
            place = _place(row.tenant_id, row.client_id, FORMER_COLUMN)
            row.former_secret_sealed = self._vault.seal(PURPOSE, secret, **place)
        row.former_secret_expires_at = clock.after(grace_seconds)

    def open_former(self, tenant_id: str, client_id: str, sealed: bytes) -> bytes:
        """As `open`, of a secret that was rotated."""
        return self._vault.open(PURPOSE, sealed, **_place(tenant_id, client_id, FORMER_COLUMN))

    def _keyed(self, secret: str) -> str:
        return _KEYED + b64url(keyed_hash(self._pepper(), secret))


def forget_former(session: Session) -> None:
    """Forget the tenant's former secrets that are good no more."""
    for row in session.scalars(select(Client).where(Client.former_secret_expires_at < clock.now())):
        row.former_secret_hash = row.former_secret_sealed = row.former_secret_expires_at = None


class _Memo:
    """Remembers which secrets were right, under a key that dies with the process. Bounded; oldest go first."""

    def __init__(self, entries: int) -> None:
        self._key = random.token_bytes(32)
        self._entries = entries
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._asking: dict[bytes, Future[bool]] = {}
        self._lock = threading.Lock()

    def knows(self, presented: str, stored: str) -> bool:
        return self._digest(presented, stored) in self._right

    def asked_once(self, presented: str, stored: str, ask: Callable[[], bool]) -> bool:
        """What `ask` answers, asked once for all who want to know at the same time. A yes is remembered.

        Raises what `ask` raises, to each of them.
        """
        digest = self._digest(presented, stored)
        with self._lock:
            if digest in self._right:
                return True
            others = self._asking.get(digest)
            if others is None:
                mine = self._asking[digest] = Future[bool]()
        if others is not None:
            return others.result()
        try:
            right = ask()
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(right)
        finally:
            self._settle(digest, right=mine.exception() is None and mine.result())
        return right

    def _settle(self, digest: bytes, *, right: bool) -> None:
        with self._lock:
            del self._asking[digest]
            if right:
                self._right[digest] = None
                if len(self._right) > self._entries:
                    self._right.popitem(last=False)

    def _digest(self, presented: str, stored: str) -> bytes:
        # The stored hash is of known form and holds no NUL, so that the pair cannot be split in another way.
        return keyed_hash(self._key, f"{stored}\0{presented}")


def _place(tenant_id: str, client_id: str, column: str = COLUMN) -> dict[str, str]:
    return {"tenant": tenant_id, "table": TABLE, "column": column, "row": client_id}
