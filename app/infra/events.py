"""The audit catalogue: every event this server can record, and what an event may say.

`docs/reference/events.md` is written from it. The names are stable: they only grow.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any, Literal

from app.infra.redaction import may_hold_credential, redact
from app.kernel import clock, ids

Outcome = Literal["success", "failure"]

ACCOUNT_CHANGE = (3001, "Account Change")
AUTHENTICATION = (3002, "Authentication")
AUTHORIZE_SESSION = (3003, "Authorize Session")
ENTITY_MANAGEMENT = (3004, "Entity Management")
USER_ACCESS = (3005, "User Access Management")
GROUP_MANAGEMENT = (3006, "Group Management")
EMAIL_ACTIVITY = (4009, "Email Activity")
APPLICATION_LIFECYCLE = (6002, "Application Lifecycle")
API_ACTIVITY = (6003, "API Activity")

MAX_TEXT = 512
PLAIN_BYTES = 1024
"""In a record no longer than this nothing is cut."""
MAX_ITEMS = 64
MAX_DEPTH = 3
SHORTEST_SECRET = 16
"""Shorter texts cannot hold a credential of ours, and are most of what an event has."""


@dataclass(frozen=True, slots=True)
class EventType:
    """A row of the catalogue. `fields` are the members `data` may have besides those every record has."""

    id: str
    alias: str
    ocsf: tuple[int, str]
    fields: frozenset[str]
    description: str


def _row(id_: str, alias: str, ocsf: tuple[int, str], fields: str, description: str) -> EventType:
    return EventType(id_, alias, ocsf, frozenset(fields.split()), description)


_ADMIN = "target name changes via"
"""What was changed (its id), what it is called, which members, and through what: `api`, `apply`, `cli` or `page`."""

EVENTS: tuple[EventType, ...] = (
    _row(
        "auth.login.success", "login_succeeded", AUTHENTICATION, "method known_device", "Somebody signed in."
    ),
    _row("auth.login.fail", "login_failed", AUTHENTICATION, "method known_device", "A sign-in was refused."),
    _row(
        "auth.step_up",
        "stepped_up",
        AUTHENTICATION,
        "method known_device",
        "Somebody showed one more factor, in the session they had.",
    ),
    _row(
        "auth.factor.success",
        "factor_verified",
        AUTHENTICATION,
        "method known_device",
        "Somebody showed a second factor.",
    ),
    _row(
        "auth.factor.fail",
        "factor_refused",
        AUTHENTICATION,
        "method known_device",
        "A second factor, or a code or link sent by e-mail, was refused.",
    ),
    _row(
        "auth.code.sent",
        "code_sent",
        AUTHENTICATION,
        "method purpose",
        "A code was sent to somebody who is signing in, or confirms a telephone.",
    ),
    _row(
        "factor.added",
        "factor_added",
        ACCOUNT_CHANGE,
        "method name target via",
        "Somebody has one more way to sign in.",
    ),
    _row(
        "factor.removed",
        "factor_removed",
        ACCOUNT_CHANGE,
        "method name target via",
        "A way to sign in was removed.",
    ),
    _row(
        "recovery.generated",
        "recovery_codes_generated",
        ACCOUNT_CHANGE,
        "count via",
        "Somebody got new recovery codes; former ones are worth nothing.",
    ),
    _row("recovery.used", "recovery_code_used", AUTHENTICATION, "left", "A recovery code was used up."),
    _row(
        "device.trusted",
        "device_trusted",
        ACCOUNT_CHANGE,
        "target days",
        "Somebody said that a browser needs no second factor for a while.",
    ),
    _row(
        "device.forgotten",
        "device_forgotten",
        ACCOUNT_CHANGE,
        "target count via",
        "Browsers that needed no second factor need it again.",
    ),
    _row("auth.logout", "logout", AUTHENTICATION, "initiator", "Somebody signed out."),
    _row(
        "logout.sent",
        "backchannel_logout_sent",
        AUTHENTICATION,
        "",
        "A client was told that a session ended, and said that it understood.",
    ),
    _row(
        "logout.failed",
        "backchannel_logout_failed",
        AUTHENTICATION,
        "",
        "A client could not be told that a session ended.",
    ),
    _row(
        "session.revoked",
        "session_revoked",
        AUTHENTICATION,
        "target via",
        "A browser session was ended early.",
    ),
    _row(
        "token.issued",
        "token_issued",
        AUTHORIZE_SESSION,
        "grant_type token_id scopes resources format bound_to subject subject_issuer subject_token_id rule",
        "Tokens were issued for a code, for a client itself, or in exchange.",
    ),
    _row(
        "token.refreshed",
        "token_refreshed",
        AUTHORIZE_SESSION,
        "grant_type token_id scopes resources format bound_to family generation",
        "Tokens were issued for a refresh token.",
    ),
    _row(
        "token.exchanged",
        "token_exchanged",
        AUTHORIZE_SESSION,
        "grant_type token_id scopes resources format bound_to issued_token_type mode subject "
        "subject_token_type subject_token_id subject_client subject_issuer rule actors requested_scopes "
        "requested_resources allowed_by depth",
        "A token was issued for another one: whose, through which actors, what was asked for and what was given.",
    ),
    _row(
        "token.refused",
        "token_refused",
        AUTHORIZE_SESSION,
        "grant_type endpoint error",
        "No token was issued.",
    ),
    _row(
        "authorization.refused",
        "authorization_refused",
        AUTHORIZE_SESSION,
        "endpoint error",
        "An authorization request of a known client was refused.",
    ),
    _row(
        "token.revoked",
        "token_revoked",
        AUTHORIZE_SESSION,
        "token_id kind family",
        "A client or an administrator took a token back.",
    ),
    _row(
        "token.replayed",
        "refresh_token_replayed",
        AUTHORIZE_SESSION,
        "family generation",
        "A refresh token that had been replaced was used again; its grant is revoked.",
    ),
    _row(
        "code.replayed",
        "code_replayed",
        AUTHORIZE_SESSION,
        "",
        "An authorization code was used a second time; its grant is revoked.",
    ),
    _row(
        "device.requested",
        "device_requested",
        AUTHORIZE_SESSION,
        "scopes resources",
        "A device asked to be allowed in.",
    ),
    _row(
        "device.allowed",
        "device_allowed",
        AUTHORIZE_SESSION,
        "scopes resources device_ip device_user_agent",
        "A person allowed a device in.",
    ),
    _row(
        "device.code.fail",
        "device_code_failed",
        AUTHORIZE_SESSION,
        "",
        "Somebody typed a device code that is none.",
    ),
    _row(
        "consent.allowed",
        "consent_allowed",
        AUTHORIZE_SESSION,
        "resource scopes",
        "A person allowed a client access.",
    ),
    _row(
        "consent.denied",
        "consent_denied",
        AUTHORIZE_SESSION,
        "resource scopes",
        "A person refused a client access.",
    ),
    _row(
        "consent.withdrawn",
        "consent_withdrawn",
        AUTHORIZE_SESSION,
        "resource scopes grants via",
        "A person took back what they had allowed a client.",
    ),
    _row(
        "grant.revoked",
        "grant_revoked",
        AUTHORIZE_SESSION,
        "target application scopes resources via",
        "A person signed an application out that stays signed in, and everything under its grant was revoked.",
    ),
    _row(
        "details_type.created",
        "details_type_created",
        ENTITY_MANAGEMENT,
        _ADMIN,
        "A type of authorization details was defined.",
    ),
    _row(
        "details_type.updated",
        "details_type_updated",
        ENTITY_MANAGEMENT,
        _ADMIN,
        "A type of authorization details was changed.",
    ),
    _row(
        "details_type.deleted",
        "details_type_deleted",
        ENTITY_MANAGEMENT,
        _ADMIN,
        "A type of authorization details was deleted.",
    ),
    _row("client.created", "client_created", ENTITY_MANAGEMENT, _ADMIN, "A client was registered."),
    _row("client.updated", "client_updated", ENTITY_MANAGEMENT, _ADMIN, "A client was changed."),
    _row(
        "client.registered",
        "client_registered",
        ENTITY_MANAGEMENT,
        "target name redirect_hosts grant_types scopes initial_token_id statement_issuer approved",
        "A client registered itself.",
    ),
    _row(
        "client.registration.refused",
        "client_registration_refused",
        ENTITY_MANAGEMENT,
        "endpoint method error detail",
        "A client was not registered, or not let at its registration.",
    ),
    _row(
        "client.approved",
        "client_approved",
        ENTITY_MANAGEMENT,
        f"{_ADMIN} digest redirect_hosts",
        "A client that had registered was approved.",
    ),
    _row(
        "client.limited",
        "client_limited",
        ENTITY_MANAGEMENT,
        f"{_ADMIN} scopes expires_at",
        "What a registered client may ask for, or how long it stays, was limited.",
    ),
    _row(
        "registration.token.created",
        "registration_token_created",
        ENTITY_MANAGEMENT,
        "target name max_uses expires_at via",
        "An initial access token was made.",
    ),
    _row(
        "registration.token.revoked",
        "registration_token_revoked",
        ENTITY_MANAGEMENT,
        "target name via",
        "An initial access token was taken back.",
    ),
    _row("client.deleted", "client_deleted", ENTITY_MANAGEMENT, _ADMIN, "A client was deleted."),
    _row(
        "client.secret.rotated",
        "client_secret_rotated",
        ENTITY_MANAGEMENT,
        _ADMIN,
        "A client was given a new secret.",
    ),
    _row(
        "client.authentication.fail",
        "client_authentication_failed",
        AUTHENTICATION,
        "method endpoint",
        "A client could not prove who it is.",
    ),
    _row("user.created", "user_created", ACCOUNT_CHANGE, _ADMIN, "A person's account was created."),
    _row("user.updated", "user_updated", ACCOUNT_CHANGE, _ADMIN, "A person's account was changed."),
    _row(
        "user.exported", "user_exported", API_ACTIVITY, "via", "A person took a copy of all data about them."
    ),
    _row("user.deleted", "user_deleted", ACCOUNT_CHANGE, _ADMIN, "A person's account was deleted."),
    _row(
        "user.disabled", "user_disabled", ACCOUNT_CHANGE, _ADMIN + " grants", "A person's account was closed."
    ),
    _row("user.enabled", "user_enabled", ACCOUNT_CHANGE, _ADMIN, "A person's account was opened again."),
    _row(
        "user.signed_out",
        "user_signed_out",
        ACCOUNT_CHANGE,
        _ADMIN + " sessions",
        "An administrator ended so many sessions of a person.",
    ),
    _row(
        "user.password_demanded",
        "user_password_demanded",
        ACCOUNT_CHANGE,
        _ADMIN,
        "An administrator asked a person for a new password.",
    ),
    _row(
        "user.unlocked",
        "user_unlocked",
        ACCOUNT_CHANGE,
        _ADMIN,
        "Failed sign-ins of an account were forgotten, second factors and known devices included.",
    ),
    _row(
        "user.registered",
        "user_registered",
        ACCOUNT_CHANGE,
        _ADMIN,
        "Somebody made an account by themselves.",
    ),
    _row(
        "registration.requested",
        "registration_requested",
        ACCOUNT_CHANGE,
        "proven taken",
        "Somebody asked for an account; a link went to the address.",
    ),
    _row(
        "invitation.created",
        "invitation_created",
        ACCOUNT_CHANGE,
        _ADMIN + " roles groups by_mail",
        "Somebody was invited to have an account.",
    ),
    _row("invitation.revoked", "invitation_revoked", ACCOUNT_CHANGE, _ADMIN, "An invitation was taken back."),
    _row(
        "invitation.accepted",
        "invitation_accepted",
        ACCOUNT_CHANGE,
        _ADMIN + " roles groups invited_by",
        "Somebody made their account by an invitation.",
    ),
    _row(
        "email.verified", "email_verified", ACCOUNT_CHANGE, _ADMIN, "A person confirmed their e-mail address."
    ),
    _row(
        "email.change.requested",
        "email_change_requested",
        ACCOUNT_CHANGE,
        _ADMIN,
        "A person wants another e-mail address; a link went to it.",
    ),
    _row("email.changed", "email_changed", ACCOUNT_CHANGE, _ADMIN, "A person has another e-mail address."),
    _row(
        "email.change.undone",
        "email_change_undone",
        ACCOUNT_CHANGE,
        _ADMIN,
        "Whoever reads the former address took a change of address back.",
    ),
    _row(
        "email.change.kept",
        "email_change_kept",
        ACCOUNT_CHANGE,
        _ADMIN + " count",
        "An operator ended the links that could take a change of address back.",
    ),
    _row(
        "factor.renamed",
        "factor_renamed",
        ACCOUNT_CHANGE,
        "method name target via",
        "A person calls a passkey something else.",
    ),
    _row(
        "password.changed",
        "password_changed",
        ACCOUNT_CHANGE,
        "sessions grants",
        "A person set a new password, which ended so many other sessions and grants that outlast theirs.",
    ),
    _row(
        "password.removed",
        "password_removed",
        ACCOUNT_CHANGE,
        "sessions grants",
        "A person has no password any more and signs in otherwise; so many other sessions ended.",
    ),
    _row(
        "password.reset.requested",
        "password_reset_requested",
        ACCOUNT_CHANGE,
        _ADMIN,
        "A link to set a new password was sent to a person.",
    ),
    _row(
        "password.reset",
        "password_reset",
        ACCOUNT_CHANGE,
        _ADMIN + " grants",
        "A person set a new password by a link sent to them, or got back in where there are no passwords.",
    ),
    _row(
        "account.recovery.created",
        "account_recovery_created",
        USER_ACCESS,
        _ADMIN + " by_mail",
        "An administrator made a link that lets a person in who lost their factors.",
    ),
    _row(
        "account.recovered",
        "account_recovered",
        USER_ACCESS,
        _ADMIN + " grants created_by",
        "A person came back in by an administrator's link, with a new password or passkey and no factor of before.",
    ),
    _row("terms.agreed", "terms_agreed", ACCOUNT_CHANGE, "version", "A person agreed to the tenant's terms."),
    _row(
        "account.deletion.requested",
        "account_deletion_requested",
        ACCOUNT_CHANGE,
        _ADMIN + " delete_at",
        "A person asked for their account to be deleted.",
    ),
    _row(
        "account.deletion.withdrawn",
        "account_deletion_withdrawn",
        ACCOUNT_CHANGE,
        _ADMIN,
        "A person kept the account they had asked to be deleted.",
    ),
    _row("role.created", "role_created", ENTITY_MANAGEMENT, _ADMIN, "A role was created."),
    _row("role.updated", "role_updated", ENTITY_MANAGEMENT, _ADMIN, "A role was changed."),
    _row("role.deleted", "role_deleted", ENTITY_MANAGEMENT, _ADMIN, "A role was deleted."),
    _row(
        "role.assigned", "role_assigned", USER_ACCESS, _ADMIN + " role", "A person or group was given a role."
    ),
    _row(
        "role.withdrawn",
        "role_withdrawn",
        USER_ACCESS,
        _ADMIN + " role",
        "A role was taken from a person or group.",
    ),
    _row("group.created", "group_created", GROUP_MANAGEMENT, _ADMIN, "A group was created."),
    _row("group.updated", "group_updated", GROUP_MANAGEMENT, _ADMIN, "A group was changed."),
    _row("group.deleted", "group_deleted", GROUP_MANAGEMENT, _ADMIN, "A group was deleted."),
    _row(
        "group.member.added",
        "group_member_added",
        GROUP_MANAGEMENT,
        _ADMIN + " group",
        "A person joined a group.",
    ),
    _row(
        "group.member.removed",
        "group_member_removed",
        GROUP_MANAGEMENT,
        _ADMIN + " group",
        "A person left a group.",
    ),
    _row("resource.created", "resource_created", ENTITY_MANAGEMENT, _ADMIN, "A resource was registered."),
    _row("resource.updated", "resource_updated", ENTITY_MANAGEMENT, _ADMIN, "A resource was changed."),
    _row("resource.deleted", "resource_deleted", ENTITY_MANAGEMENT, _ADMIN, "A resource was deleted."),
    _row(
        "trusted_issuer.created",
        "trusted_issuer_created",
        ENTITY_MANAGEMENT,
        _ADMIN,
        "An issuer elsewhere was trusted.",
    ),
    _row(
        "trusted_issuer.updated",
        "trusted_issuer_updated",
        ENTITY_MANAGEMENT,
        _ADMIN,
        "What an issuer's tokens are worth was changed.",
    ),
    _row(
        "trusted_issuer.deleted",
        "trusted_issuer_deleted",
        ENTITY_MANAGEMENT,
        _ADMIN,
        "An issuer is trusted no longer.",
    ),
    _row("tenant.created", "tenant_created", ENTITY_MANAGEMENT, _ADMIN, "A tenant was created."),
    _row(
        "tenant.updated",
        "tenant_updated",
        ENTITY_MANAGEMENT,
        _ADMIN,
        "A tenant or its settings were changed.",
    ),
    _row("tenant.deleted", "tenant_deleted", ENTITY_MANAGEMENT, _ADMIN, "A tenant was deleted."),
    _row(
        "key.rotated",
        "key_rotated",
        ENTITY_MANAGEMENT,
        "kid algorithm via",
        "A signing key took another's place.",
    ),
    _row(
        "key.revoked",
        "key_revoked",
        ENTITY_MANAGEMENT,
        "kid algorithm via",
        "A signing key was withdrawn at once.",
    ),
    _row(
        "key.rewrapped",
        "keys_rewrapped",
        ENTITY_MANAGEMENT,
        "count via",
        "Secrets were sealed under the newest master.",
    ),
    _row(
        "admin.link.created",
        "admin_link_created",
        USER_ACCESS,
        "recover via",
        "A one-time link that makes an administrator was printed.",
    ),
    _row(
        "admin.link.consumed",
        "admin_link_consumed",
        USER_ACCESS,
        "recover target",
        "A one-time link made an administrator.",
    ),
    _row(
        "system.access",
        "system_access",
        API_ACTIVITY,
        "action",
        "An operator's command worked across tenants.",
    ),
    _row(
        "mail.sent", "mail_sent", EMAIL_ACTIVITY, "message_id via", "A message was handed to the mail server."
    ),
    _row(
        "sms.sent",
        "sms_sent",
        API_ACTIVITY,
        "message_id",
        "A text message was handed to the operator's service.",
    ),
    _row("sms.failed", "sms_failed", API_ACTIVITY, "message_id", "A text message could not be sent."),
    _row("mail.failed", "mail_failed", EMAIL_ACTIVITY, "message_id", "A message could not be delivered."),
    _row(
        "worker.dead_letter",
        "dead_letter",
        APPLICATION_LIFECYCLE,
        "topic message_id attempts error",
        "The worker gave up on something it had to deliver.",
    ),
    _row(
        "worker.dead_letter.retried",
        "dead_letter_retried",
        APPLICATION_LIFECYCLE,
        "topic message_id via",
        "Something the worker had given up on is to be delivered after all.",
    ),
    _row(
        "audit.pruned",
        "audit_pruned",
        APPLICATION_LIFECYCLE,
        "count sequence",
        "Audit records older than the tenant keeps them were removed.",
    ),
)

CATALOGUE: Mapping[str, EventType] = {row.id: row for row in EVENTS}


@dataclass(slots=True)  # Not frozen: that alone doubles what making one costs.
class Event:
    """Something that happened and has to be on record.

    Raises `ValueError` for a name or a `data` member the catalogue does not have. `data` holds text, integers,
    booleans, None, and lists and mappings of those; it never carries a secret: ids, names and hashes only.
    """

    name: str
    _: KW_ONLY
    tenant_id: str
    outcome: Outcome
    reason: str | None = None
    """A stable reason code; required when the outcome is a failure."""
    user_id: str | None = None
    """Who acted, or tried to; what was acted on is `data["target"]`."""
    email: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    mfa_used: bool | None = None
    session_id: str | None = None
    client_id: str | None = None
    grant_id: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    id: str = field(default_factory=ids.new_id)
    occurred_at: datetime = field(default_factory=clock.now)

    def __post_init__(self) -> None:
        kind = CATALOGUE.get(self.name)
        if kind is None:
            raise ValueError(f"{self.name} is not in the catalogue of events")
        if self.outcome not in ("success", "failure"):
            raise ValueError(f"{self.outcome} is not an outcome")
        if self.outcome == "failure" and not self.reason:
            raise ValueError(f"{self.name}: a failure needs a reason code")
        if not kind.fields.issuperset(self.data):
            unknown = ", ".join(sorted(set(self.data) - kind.fields))
            raise ValueError(f"{self.name} has no field {unknown}")

    def as_record(self) -> dict[str, Any]:
        """What the chain keeps. Every member is always there; the names are fixed (contracts 20).

        Long texts and lists of long records are cut. Raises `TypeError` for a value in `data` of another type.
        """
        found = self.as_given()
        for name in _TEXTS:
            if found[name] is not None:
                found[name] = _clean_text(found[name])
        found["data"] = {name: _clean(value, 1) for name, value in self.data.items()}
        return found

    def as_given(self) -> dict[str, Any]:
        """The record before anything in it is cut or cleaned: never to be kept unless `is_clean` says so."""
        return {
            "id": self.id,
            "time": written(self.occurred_at),
            "event": self.name,
            "tenant": self.tenant_id,
            "user": self.user_id,
            "email": self.email,
            "ip": self.ip,
            "user_agent": self.user_agent,
            "mfa_used": self.mfa_used,
            "session": self.session_id,
            "client": self.client_id,
            "grant": self.grant_id,
            "outcome": self.outcome,
            "reason": self.reason,
            "data": self.data,
        }


_TEXTS = ("user", "email", "ip", "user_agent", "session", "client", "grant", "reason")
_FLAT = frozenset({str, bool, type(None)})
_TEXT_ALONE = frozenset({str})


def written(moment: datetime) -> str:
    """An instant as records have it: RFC 3339 in UTC, to the microsecond."""
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


def is_clean(encoded: bytes) -> bool:
    """Whether cleaning would change nothing, seen at a plain record as JSON, far quicker than cleaning it.

    Most records are: short ones of ordinary text. JSON escapes control characters; others than ASCII's are looked at.
    """
    return (
        len(encoded) <= PLAIN_BYTES
        and b"\\" not in encoded
        and b"\x7f" not in encoded
        and encoded.isascii()
        and not may_hold_credential(encoded.decode("ascii").lower())
    )


def is_plain(data: Mapping[str, Any], depth: int = 1) -> bool:
    """Whether an event's data is text, yes or no, and lists and mappings of those: of types that stay as they are."""
    if type(data) is not dict or len(data) > MAX_ITEMS:
        return False
    for value in data.values():
        kind = type(value)
        if kind is list:
            if depth >= MAX_DEPTH or not _is_plain_list(value, depth + 1):
                return False
        elif kind is dict:
            if depth >= MAX_DEPTH or not _TEXT_ALONE.issuperset(map(type, value)):
                return False
            if not is_plain(value, depth + 1):
                return False
        elif kind not in _FLAT:
            return False
    return True


def _is_plain_list(items: list[Any], depth: int) -> bool:
    if len(items) > MAX_ITEMS:
        return False
    if _TEXT_ALONE.issuperset(map(type, items)):
        return True
    return all(
        type(item) is dict
        and depth < MAX_DEPTH
        and _TEXT_ALONE.issuperset(map(type, item))
        and is_plain(item, depth + 1)
        for item in items
    )


def _clean_text(value: str) -> str:
    """Text as every database and every JSON reader takes it: no NUL, no lone surrogate, no credential, not long."""
    if len(value) > MAX_TEXT:
        value = value[: MAX_TEXT - 1] + "…"
    if not value.isprintable():
        value = "".join(c if c.isprintable() else "\ufffd" for c in value)
    return redact(value) if len(value) >= SHORTEST_SECRET else value


def _clean(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _clean_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Beyond 53 bits readers disagree about an integer (RFC 8785 section 3.2.2.3).
        return value if abs(value) < 1 << 53 else str(value)
    if depth >= MAX_DEPTH:
        raise TypeError("audit data is nested too deeply")
    if isinstance(value, Mapping):
        return {_clean_text(str(k)): _clean(v, depth + 1) for k, v in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else list(value)
        kept = [_clean(item, depth + 1) for item in items[:MAX_ITEMS]]
        return kept if len(items) <= MAX_ITEMS else [*kept, f"… and {len(items) - MAX_ITEMS} more"]
    raise TypeError(f"audit data cannot hold a {type(value).__name__}")
