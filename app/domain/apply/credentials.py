"""Secrets of the file: judged in the preview, hashed between the transactions, stored in the second."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from app.domain import password_policy
from app.domain.apply.changes import NewSecret
from app.domain.client_secrets import ClientSecrets
from app.domain.models import Client, Tenant
from app.domain.tenant_settings import TenantSettings
from app.infra.passwords import Passwords, checked_hash
from app.kernel.secrets import equal

_THREADS = 2


class StoredCredentials:
    """The credentials of one run of a file. Before `prepare`, slow hashes are only asked for."""

    def __init__(self, passwords: Passwords, client_secrets: ClientSecrets) -> None:
        self._passwords = passwords
        self._client_secrets = client_secrets
        self._asked: set[tuple[str, str]] = set()
        self._hashes: dict[tuple[str, str], str] = {}
        self._is_prepared = False

    def prepare(self) -> None:
        """Hash what was asked for, outside any transaction."""
        with ThreadPoolExecutor(_THREADS) as pool:
            asked = sorted(self._asked)
            hashes = pool.map(self._passwords.hash, (secret for _, secret in asked))
            self._hashes = dict(zip(asked, hashes, strict=True))
        self._is_prepared = True

    def password_hash(self, tenant: Tenant, own: Sequence[str | None], password: str) -> str:
        """The stored form of a new person's password. Raises `Problem` (`password.policy`)."""
        settings = TenantSettings.model_validate(tenant.settings).authentication.password
        password_policy.check(password, settings, own=own)
        return self._hash(f"{tenant.slug}/user/{own[0]}", password)

    def imported_hash(self, stored: str) -> str:
        """A hash another system made. Raises `Problem` (`password.hash_unsupported`)."""
        return checked_hash(stored)

    def is_client_secret(self, client: Client, secret: str) -> bool:
        """Whether this is the client's present secret."""
        if client.secret_sealed is not None:
            opened = self._client_secrets.open(client.tenant_id, client.client_id, client.secret_sealed)
            return equal(opened, secret.encode("utf-8"))
        return self._client_secrets.verify(secret, client.secret_hash)

    def is_short_client_secret(self, secret: str) -> bool:
        """Whether this one is accepted only because no other machine reaches this server."""
        return self._client_secrets.is_short(secret)

    def client_secret(self, tenant: Tenant, client_id: str, secret: str | None, *, sealed: bool) -> NewSecret:
        """The stored form of a client's new secret. Raises `Problem` (`client.secret_weak`)."""
        if secret is None:
            made = self._client_secrets.issue()
            if not sealed:
                return NewSecret(made.stored, None, shown=made.secret)
            return NewSecret(
                None, self._client_secrets.seal(tenant.id, client_id, made.secret), shown=made.secret
            )
        self._client_secrets.check(secret)
        if sealed:
            return NewSecret(None, self._client_secrets.seal(tenant.id, client_id, secret))
        return NewSecret(self._hash(f"{tenant.slug}/client/{client_id}", secret), None)

    def retire_client_secret(self, client: Client, grace_seconds: int) -> None:
        """Let the present secret of a client work for the grace beside the one it is about to get."""
        self._client_secrets.retire(client, grace_seconds)

    def _hash(self, owner: str, secret: str) -> str:
        asked = (owner, secret)
        if self._is_prepared and asked not in self._hashes:
            # Somebody changed the database between the two transactions, so that more is new than it was.
            self._hashes[asked] = self._passwords.hash(secret)
        self._asked.add(asked)
        return self._hashes.get(asked, "")
