"""Clients of the file."""

from typing import Any

from app.domain import branding, clients
from app.domain.apply.changes import TenantScope
from app.domain.apply.document import Path
from app.domain.apply.schema import ClientEntry
from app.domain.claims import OPENID_SCOPES
from app.domain.client_metadata import SECRET_METHODS, ClientMetadata, validate
from app.domain.client_secrets import MIN_CHOSEN_CHARACTERS
from app.domain.models import (
    AuthorizationDetailsType,
    Client,
    Group,
    RegisteredClient,
    Resource,
    ResourceScope,
)
from app.domain.resources import API_SCOPES
from app.domain.tenant_settings import TenantSettings
from app.kernel import spelling
from app.kernel.errors import Problem

_SEALED_METHOD = "client_secret_jwt"


class Clients:
    """Makes a tenant's clients what the file says."""

    name = "client"
    section = "clients"

    def __init__(self, scope: TenantScope) -> None:
        self.scope = scope
        self._registered: frozenset[str] | None = None

    def load(self, entries: list[ClientEntry] | None) -> dict[str, Client]:
        """The rows by client id: those the entries name, or all."""
        names = None if entries is None else [entry.client_id for entry in entries]
        return {row.client_id: row for row in self.scope.rows(Client, Client.client_id, names)}

    def key(self, entry: ClientEntry) -> str:
        """By what the rows are found."""
        return entry.client_id

    def create(self, entry: ClientEntry, path: Path) -> None:
        """Register a client; a secret it needs and is not given is made and shown once."""
        metadata = self._metadata({}, entry, path)
        if metadata is None:
            return
        row = Client(
            tenant_id=self.scope.tenant.id,
            client_id=entry.client_id,
            metadata_=metadata,
            epoch=clients.last_epoch(self.scope.session, self.scope.tenant.id, entry.client_id),
        )
        if not self._set_secret(row, _method(metadata), entry, path):
            return
        self.scope.session.add(row)
        self.scope.session.flush()
        self.scope.note("create", self.name, row.client_id, row.client_id, client_id=row.client_id)

    def update(self, row: Client, entry: ClientEntry, path: Path) -> None:
        """Change what the entry says of a client; a different secret rotates."""
        metadata = self._metadata(row.metadata_, entry, path)
        if metadata is None:
            return
        before = row.metadata_
        changed = sorted(k for k in before.keys() | metadata.keys() if before.get(k) != metadata.get(k))
        if changed:
            row.metadata_ = metadata
            if branding.logos_of(before) != branding.logos_of(metadata):
                self.scope.session.flush()
                branding.forget_client_logos(self.scope.session, self.scope.tenant.id, row.client_id)
        if self._secret_differs(row, _method(metadata), entry):
            if not self._set_secret(row, _method(metadata), entry, path):
                return
            changed.append("client_secret")
            self.scope.record("client.secret.rotated", row.client_id, row.client_id, client_id=row.client_id)
        if changed:
            self.scope.note(
                "update", self.name, row.client_id, row.client_id, changed, client_id=row.client_id
            )

    def delete(self, row: Client, path: Path) -> None:
        """Delete a client and take back what was issued to it."""
        self.scope.run.revocations.revoke_client(self.scope.session, self.scope.tenant.id, row.client_id)
        self.scope.session.delete(row)
        self.scope.session.flush()
        branding.forget_client_logos(self.scope.session, self.scope.tenant.id, row.client_id)
        self.scope.note("delete", self.name, row.client_id, row.client_id, client_id=row.client_id)

    def prunable(self, row: Client) -> bool:
        """Whether `--prune` may delete it: no file names the clients that register themselves."""
        if self._registered is None:
            rows = self.scope.rows(RegisteredClient, RegisteredClient.client_id)
            self._registered = frozenset(registered.client_id for registered in rows)
        return row.client_id not in self._registered

    def _metadata(self, stored: dict[str, Any], entry: ClientEntry, path: Path) -> dict[str, Any] | None:
        """The stored members with those of the entry over them; null returns a member to its default."""
        merged = {k: v for k, v in {**stored, **entry.metadata}.items() if v is not None}
        try:
            metadata = validate(merged)
        except Problem as refusal:
            self.scope.fault(path, refusal)
            return None
        self._check_references(metadata, path)
        try:
            self.scope.run.sectors.check(metadata, stored or None)
        except Problem as refusal:
            self.scope.fault((*path, "sector_identifier_uri"), refusal)
            return None
        return metadata

    def _check_references(self, metadata: dict[str, Any], path: Path) -> None:
        tenant = f"in tenant {self.scope.tenant.slug}"
        resources = metadata.get("default_resources", []) + metadata.get("resource_server_for", [])
        if resources:
            known = {row.identifier for row in self.scope.rows(Resource, Resource.identifier, resources)}
            for identifier in sorted(set(resources) - known):
                self.scope.fault(path, f"there is no resource {identifier} {tenant}")
        if types := metadata.get("authorization_details_types", []):
            found = self.scope.rows(AuthorizationDetailsType, AuthorizationDetailsType.type, types)
            for name in sorted(set(types) - {row.type for row in found}):
                self.scope.fault(
                    (*path, "authorization_details_types"),
                    f"there is no type of authorization details {name} {tenant}",
                )
        if groups := metadata.get("allowed_groups", []):
            known = {row.name for row in self.scope.rows(Group, Group.name, groups)}
            for name in sorted(set(groups) - known):
                self.scope.fault((*path, "allowed_groups"), f"there is no group {name} {tenant}")
        if scopes := set(metadata.get("scope", "").split()) - {*OPENID_SCOPES, *API_SCOPES}:
            known = {row.name for row in self.scope.rows(ResourceScope, ResourceScope.name, scopes)}
            if unknown := sorted(scopes - known):
                all_rows = self.scope.rows(ResourceScope, ResourceScope.name)
                all_names = {*OPENID_SCOPES, *API_SCOPES, *(row.name for row in all_rows)}
            for name in unknown:
                self.scope.run.warn(
                    (*path, "scope"),
                    f"no resource {tenant} has the scope {name}: nobody can be granted it"
                    f"{spelling.hint(name, all_names)}",
                )

    def _secret_differs(self, row: Client, method: str, entry: ClientEntry) -> bool:
        has_secret = row.secret_hash is not None or row.secret_sealed is not None
        if method not in SECRET_METHODS:
            return has_secret
        if not has_secret:
            return True
        given = entry.client_secret
        if given is not None and not self.scope.run.credentials.is_client_secret(row, given):
            return True
        return (method == _SEALED_METHOD) != (row.secret_sealed is not None)

    def _set_secret(self, row: Client, method: str, entry: ClientEntry, path: Path) -> bool:
        """Give the row the secret its method needs. False when the file's is refused."""
        if method not in SECRET_METHODS:
            if entry.client_secret is not None:
                self.scope.run.warn((*path, "client_secret"), f"a client of {method} has no use for a secret")
            elif row.secret_hash is not None or row.secret_sealed is not None:
                self.scope.run.warn(
                    path, f"the secret of {row.client_id} works no more: it authenticates with {method}"
                )
            row.secret_hash = row.secret_sealed = None
            self.scope.run.credentials.retire_client_secret(row, 0)
            return True
        try:
            new = self.scope.run.credentials.client_secret(
                self.scope.tenant, row.client_id, entry.client_secret, sealed=method == _SEALED_METHOD
            )
        except Problem as refusal:
            self.scope.fault((*path, "client_secret"), refusal)
            return False
        if entry.client_secret is not None and self.scope.run.credentials.is_short_client_secret(
            entry.client_secret
        ):
            self.scope.run.warn(
                (*path, "client_secret"),
                f"the secret of {row.client_id} has {len(entry.client_secret)} characters. That is taken only on this "
                f"machine: a server others reach refuses fewer than {MIN_CHOSEN_CHARACTERS}. Leave it out, and a "
                "strong one is generated",
            )
        settings = TenantSettings.model_validate(self.scope.tenant.settings)
        # A secret that is hashed is of no use to a method that signs with it, and the other way round.
        keeps = (row.secret_sealed is not None) == (new.sealed is not None)
        grace = settings.keys.client_secret_grace_seconds if keeps else 0
        self.scope.run.credentials.retire_client_secret(row, grace)
        row.secret_hash, row.secret_sealed = new.hash, new.sealed
        if new.shown is not None:
            self.scope.run.new_secrets[self.scope.tenant.slug, row.client_id] = new.shown
        return True


def _method(metadata: dict[str, Any]) -> str:
    default: str = ClientMetadata.model_fields["token_endpoint_auth_method"].default
    return str(metadata.get("token_endpoint_auth_method", default))
