"""A tenant's signing keys through their life: next, current, retired, revoked.

`next` is published before it signs, so that relying parties know it by then. `current` signs. `retired` verifies
until the last token it signed has expired. `revoked` is for an emergency: gone from the JWKS, its tokens refused.
What is read is cached until the tenant's configuration version changes, and every write here changes it.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.infra import rewrap
from app.infra.jose import (
    SIGNING_ALGORITHMS,
    STANDING_ALGORITHMS,
    SigningKeyHandle,
    VerificationKey,
    public_key,
)
from app.infra.key_tables import SigningKey
from app.infra.pairwise import PairwiseSubjects
from app.infra.rewrap import Sealed, SealedColumn
from app.infra.tenancy import Tenancy
from app.infra.vault import Vault
from app.kernel import clock
from app.kernel.errors import Problem, Unavailable

NEXT, CURRENT, RETIRED, REVOKED = "next", "current", "retired", "revoked"

RETIRED_SECONDS = (1 + 2) * 86_400
"""How long a retired key stays published: the longest life of an access or ID token (a day) and two days' margin."""

PUBLISHED_SECONDS = 2 * 300
"""A scheduled rotation waits until the next key has been published this long: twice what relying parties may keep the
JWKS, so that they know it when it begins to sign."""

SEALED = SealedColumn("signing-key", SigningKey, "private_sealed", "kid")

_ATTEMPTS = 5

T = TypeVar("T")


class Cache(Protocol):
    """What remembers a value until a tenant's configuration changes (`infra.cache`)."""

    def get(self, tenant_id: str, kind: str, key: object, load: Callable[[], T]) -> T:
        """The value, loaded when the configuration is not the one it was loaded under."""
        ...


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be told about a key."""

    kid: str
    alg: str
    state: str
    created_at: datetime
    activated_at: datetime | None
    retired_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Document:
    """A response body made once, and its entity tag (RFC 9110 section 8.8.3)."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class _Ring:
    current: dict[str, SigningKeyHandle]
    published: tuple[dict[str, Any], ...]
    verification: tuple[VerificationKey, ...]
    revoked: frozenset[str]
    complete: bool
    document: Document


class Keyring:
    """The keys of every tenant. `on_change` is called after each committed write.

    `subjects` makes and reads pairwise subjects: it is a key of the tenant as well, and those who sign and verify
    tokens are those who need it.
    """

    def __init__(
        self,
        tenancy: Tenancy,
        vault: Vault,
        cache: Cache,
        *,
        on_change: Callable[[], object] | None = None,
        sealed: Sequence[Sealed] = (),
        subjects: PairwiseSubjects | None = None,
    ) -> None:
        self.subjects = subjects or PairwiseSubjects(_no_salt)
        self._tenancy = tenancy
        self._vault = vault
        self._cache = cache
        self._changed = on_change or (lambda: None)
        self._sealed = (SEALED, *sealed)
        self._handles: dict[tuple[str, str], SigningKeyHandle] = {}
        self._making = threading.Lock()

    def current(self, tenant_id: str, alg: str) -> SigningKeyHandle:
        """The key that signs; made when it is the first that is asked for of an algorithm that is not a standing one.

        Raises `Problem` (`keys.algorithm`) for no algorithm of ours.
        """
        key = self._ring(tenant_id).current.get(alg)
        if key is None:
            if alg not in SIGNING_ALGORITHMS:
                raise _no_such_algorithm(alg)
            with self._making:
                self.ensure(tenant_id, (alg,))
            key = self._load(tenant_id).current[alg]
        return key

    def published(self, tenant_id: str) -> Sequence[dict[str, Any]]:
        """The public JWKs relying parties may meet: current, next and retired."""
        return self._ring(tenant_id).published

    def verification_keys(self, tenant_id: str) -> tuple[VerificationKey, ...]:
        """The same keys, ready for `jose.verify`."""
        return self._ring(tenant_id).verification

    def is_revoked(self, tenant_id: str, kid: str) -> bool:
        """Whether `kid` was ours and is revoked: the reason `key.revoked`."""
        return kid in self._ring(tenant_id).revoked

    def jwks(self, tenant_id: str) -> Document:
        """The JWK Set document (RFC 7517 section 5) as bytes."""
        return self._ring(tenant_id).document

    def list(self, tenant_id: str) -> Sequence[KeyInfo]:
        """Every key that still has a row, by algorithm and age."""
        with self._tenancy.session(tenant_id) as session:
            return [
                KeyInfo(r.kid, r.alg, r.state, r.created_at, r.activated_at, r.retired_at, r.revoked_at)
                for r in session.scalars(select(SigningKey).order_by(SigningKey.alg, SigningKey.created_at))
            ]

    def check(self, tenant_id: str) -> None:
        """Open the keys that sign and will sign, and make none. Raises `SealError`."""
        with self._tenancy.session(tenant_id) as session:
            for row in _rows(session, (CURRENT, NEXT)):
                self._vault.open(SEALED.purpose, row.private_sealed, **_place(tenant_id, row.kid))

    def ensure(self, tenant_id: str, algorithms: Sequence[str] = STANDING_ALGORITHMS) -> None:
        """Make what is missing of a current and a next key per algorithm. Safe to race from several processes."""
        for _ in range(_ATTEMPTS):
            with self._tenancy.session(tenant_id) as session:
                present = {(row.alg, row.state) for row in _rows(session, (CURRENT, NEXT))}
            missing = [(a, s) for a in algorithms for s in (CURRENT, NEXT) if (a, s) not in present]
            if not missing:
                return
            # Outside the transaction: making an RSA key takes its time.
            made = [(SigningKeyHandle.generate(alg), state) for alg, state in missing]
            try:
                with self._tenancy.session(tenant_id, write=True) as session:
                    session.add_all(self._row(tenant_id, handle, state) for handle, state in made)
            except IntegrityError:
                continue  # Another process made some of them; its keys count.
            self._changed()
            return
        raise Unavailable(
            "keys.contended", detail=f"tenant {tenant_id}: {_ATTEMPTS} attempts to make keys failed"
        )

    def rotate(self, tenant_id: str, alg: str | None = None) -> None:
        """Next becomes current, current retires, a new next is made: of one algorithm, or of all in use, at once.

        Raises `Problem`: `keys.conflict` when another rotation came in between, `keys.algorithm`.
        """
        if alg is not None and alg not in SIGNING_ALGORITHMS:
            raise _no_such_algorithm(alg)
        self.ensure(tenant_id, (alg,) if alg else STANDING_ALGORITHMS)
        with self._tenancy.session(tenant_id) as session:
            rows = _rows(session, (CURRENT, NEXT), (alg,) if alg else SIGNING_ALGORITHMS)
            algorithms, seen = sorted({row.alg for row in rows}), _kids(rows)
        self._rotate(tenant_id, algorithms, seen)

    def rotate_due(self, tenant_id: str, days: int) -> dict[str, str]:
        """Rotate what has signed for `days`, each algorithm by itself, once its next key is known to everybody.

        Several workers may do this at the same time: one of them rotates. Gives the new kids by algorithm.
        """
        old, known = clock.now() - timedelta(days=days), clock.after(-PUBLISHED_SECONDS)
        with self._tenancy.session(tenant_id) as session:
            rows = {(row.alg, row.state): row for row in _rows(session, (CURRENT, NEXT))}
            due = {
                alg: (_kids([rows[alg, CURRENT], rows[alg, NEXT]]), rows[alg, NEXT].kid)
                for alg in SIGNING_ALGORITHMS
                if (alg, CURRENT) in rows
                and (alg, NEXT) in rows
                and (rows[alg, CURRENT].activated_at or rows[alg, CURRENT].created_at) <= old
                and rows[alg, NEXT].created_at <= known
            }
        done = {}
        for alg, (seen, kid) in due.items():
            try:
                self._rotate(tenant_id, (alg,), seen)
            except Problem as conflict:
                if conflict.code != "keys.conflict":
                    raise
            else:
                done[alg] = kid
        return done

    def _rotate(self, tenant_id: str, algorithms: Sequence[str], seen: set[tuple[str, str]]) -> None:
        """Rotate these, if they are as they were `seen`. Raises `Problem` (`keys.conflict`)."""
        made = [SigningKeyHandle.generate(each) for each in algorithms]
        with _conflicts(), self._tenancy.session(tenant_id, write=True) as session:
            rows = _rows(session, (CURRENT, NEXT), algorithms, lock=True)
            if _kids(rows) != seen:
                raise _conflict()
            for row in rows:
                if row.state == CURRENT:
                    row.state, row.retired_at, row.private_sealed = RETIRED, clock.now(), b""
            self._advance(session, tenant_id, [row for row in rows if row.state == NEXT], made)
        self._changed()

    def revoke(self, tenant_id: str, kid: str) -> None:
        """Withdraw a key in an emergency: it leaves the JWKS and its tokens are refused from now on.

        Where it was the current one, the next takes over. Raises `Problem`: `key.unknown`, `keys.conflict`.
        """
        self.ensure(tenant_id)
        with self._tenancy.session(tenant_id) as session:
            alg, state = _known(session, kid)
        if state == REVOKED:
            return
        made = [SigningKeyHandle.generate(alg)] if state in (CURRENT, NEXT) else []
        with _conflicts(), self._tenancy.session(tenant_id, write=True) as session:
            rows = {row.kid: row for row in _rows(session, (CURRENT, NEXT, RETIRED), (alg,), lock=True)}
            if kid not in rows or rows[kid].state != state:
                raise _conflict()
            row = rows[kid]
            row.state, row.revoked_at, row.private_sealed = REVOKED, clock.now(), b""
            successors = [r for r in rows.values() if r.state == NEXT] if state == CURRENT else []
            self._advance(session, tenant_id, successors, made)
        self._changed()

    def expire_retired(self, tenant_id: str) -> int:
        """Forget retired and revoked keys once no token of theirs can be alive. Gives how many."""
        limit = clock.after(-RETIRED_SECONDS)
        with self._tenancy.session(tenant_id, write=True) as session:
            due = [
                row
                for row in _rows(session, (RETIRED, REVOKED))
                if (since := row.revoked_at or row.retired_at) is not None and since < limit
            ]
            for row in due:
                session.delete(row)
        if due:
            self._changed()
        return len(due)

    def rewrap(self) -> int:
        """Seal anew what older master keys sealed, of every tenant (`infra.rewrap`). Gives how many values."""
        return rewrap.rewrap(self._tenancy, self._vault, self._sealed)

    def _advance(
        self,
        session: Session,
        tenant_id: str,
        successors: Iterable[SigningKey],
        made: Iterable[SigningKeyHandle],
    ) -> None:
        """Activate what was next and add a new next. Flushed step by step: each state is unique per algorithm."""
        session.flush()
        for row in successors:
            row.state, row.activated_at = CURRENT, clock.now()
        session.flush()
        session.add_all(self._row(tenant_id, handle, NEXT) for handle in made)

    def _row(self, tenant_id: str, handle: SigningKeyHandle, state: str) -> SigningKey:
        return SigningKey(
            kid=handle.kid,
            alg=handle.alg,
            public_jwk=handle.public_jwk,
            private_sealed=self._vault.seal(SEALED.purpose, handle.to_der(), **_place(tenant_id, handle.kid)),
            state=state,
            activated_at=clock.now() if state == CURRENT else None,
        )

    def _ring(self, tenant_id: str) -> _Ring:
        ring = self._cache.get(tenant_id, "keyring", None, lambda: self._load(tenant_id))
        if not ring.complete:
            # A tenant's first use. The cache learns of the new keys with the configuration version.
            with self._making:  # or every waiting thread would make RSA keys of its own
                self.ensure(tenant_id)
            ring = self._load(tenant_id)
        return ring

    def _load(self, tenant_id: str) -> _Ring:
        with self._tenancy.session(tenant_id) as session:
            rows = _rows(session, (CURRENT, NEXT, RETIRED, REVOKED))
            current = {row.alg: self._handle(tenant_id, row) for row in rows if row.state == CURRENT}
            living = [row for row in rows if row.state != REVOKED]
            published = tuple(row.public_jwk for row in living)
            revoked = frozenset(row.kid for row in rows if row.state == REVOKED)
        keys = tuple(key for jwk in published if (key := public_key(jwk)) is not None)
        return _Ring(current, published, keys, revoked, _is_complete(living), _document(published))

    def _handle(self, tenant_id: str, row: SigningKey) -> SigningKeyHandle:
        """The row's key, opened once per process and kept until another takes its place."""
        handle = self._handles.get((tenant_id, row.alg))
        if handle is None or handle.kid != row.kid:
            der = self._vault.open(SEALED.purpose, row.private_sealed, **_place(tenant_id, row.kid))
            handle = self._handles[tenant_id, row.alg] = SigningKeyHandle.from_der(row.alg, der)
        return handle


def _no_salt() -> bytes:
    raise RuntimeError("this keyring was not given the salt of pairwise subjects")


def _no_such_algorithm(alg: str) -> Problem:
    return Problem("keys.algorithm", f"There are no {alg} keys; there are {', '.join(SIGNING_ALGORITHMS)}.")


def _rows(
    session: Session,
    states: Sequence[str],
    algorithms: Sequence[str] = SIGNING_ALGORITHMS,
    *,
    lock: bool = False,
) -> Sequence[SigningKey]:
    wanted = select(SigningKey).where(SigningKey.state.in_(states), SigningKey.alg.in_(algorithms))
    # A stable order gives the JWKS a stable entity tag, and locks no deadlock.
    wanted = wanted.order_by(SigningKey.alg, SigningKey.kid)
    return session.scalars(wanted.with_for_update() if lock else wanted).all()


def _kids(rows: Iterable[SigningKey]) -> set[tuple[str, str]]:
    return {(row.kid, row.state) for row in rows}


def _known(session: Session, kid: str) -> tuple[str, str]:
    row = session.scalar(select(SigningKey).where(SigningKey.kid == kid))
    if row is None:
        raise Problem("key.unknown", "There is no such key.", status=404)
    return row.alg, row.state


def _is_complete(rows: Iterable[SigningKey]) -> bool:
    present = {(row.alg, row.state) for row in rows}
    return all((alg, state) in present for alg in STANDING_ALGORITHMS for state in (CURRENT, NEXT))


def _document(published: Sequence[dict[str, Any]]) -> Document:
    body = json.dumps({"keys": published}, separators=(",", ":"), sort_keys=True).encode("ascii")
    return Document(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _place(tenant_id: str, kid: str) -> dict[str, str]:
    return {"tenant": tenant_id, "table": SigningKey.__tablename__, "column": SEALED.column, "row": kid}


def _conflict() -> Problem:
    return Problem(
        "keys.conflict", "Somebody else changed these keys at the same time. Try again.", status=409
    )


@contextmanager
def _conflicts() -> Iterator[None]:
    """The database's unique indexes have the last word on two writers at once."""
    try:
        yield
    except IntegrityError:
        raise _conflict() from None
