"""What a tenant decides: its settings, typed, with their defaults (contracts, "Tenant settings").

The table says what is stored; only values that differ from the defaults are.
"""

import ipaddress
import re
import zoneinfo
from collections.abc import Collection
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from app.domain.branding import BrandingSettings, LanguageTag
from app.domain.claims import PROTECTED_CLAIMS
from app.domain.registration_settings import ClientRulesSettings
from app.kernel import languages

_UNIT_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> Any:
    """Read `24h`, `30d`, `15 min` as seconds; leave numbers alone."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+)\s*(s|m|min|h|d)", value.strip())):
        return int(found[1]) * _UNIT_SECONDS[found[2]]
    return value


Seconds = Annotated[int, BeforeValidator(_duration)]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenSettings(_Block):
    """Lifetimes of what is issued."""

    access_seconds: Annotated[Seconds, Field(ge=10, le=86400)] = 300
    refresh_seconds: Annotated[Seconds, Field(ge=60, le=366 * 86400)] = 30 * 86400
    refresh_grace_seconds: Annotated[Seconds, Field(ge=0, le=60)] = 10
    code_seconds: Annotated[Seconds, Field(ge=5, le=60)] = 60


REAUTHENTICATE_FOR = {"security": 300, "billing": 300}


def _areas(value: Any) -> Any:
    """Areas that are not named keep their default."""
    return {**REAUTHENTICATE_FOR, **value} if isinstance(value, dict) else value


class SessionSettings(_Block):
    """How long a person stays signed in."""

    absolute_seconds: Annotated[Seconds, Field(ge=60, le=366 * 86400)] = 86400
    idle_seconds: Annotated[Seconds, Field(ge=60, le=366 * 86400)] = 3600
    renew_on_activity: bool = True
    max_active: Annotated[int, Field(ge=1, le=1000)] = 5
    """So many sessions of one person at a time; a new one ends the oldest."""
    bind_ip: bool = False
    """A session counts only where it began: the same IPv4 address, or /64 of IPv6."""
    reauthenticate_for: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")],
            Annotated[Seconds, Field(ge=0, le=86400)],
        ],
        BeforeValidator(_areas),
    ] = REAUTHENTICATE_FOR
    """How old a sign-in may be, in seconds, by what it is for: `security` is the account console's pages about signing
    in and a person's data."""


EVERYWHERE = ("0.0.0.0/0", "::/0")


def _network(value: str) -> str:
    return str(ipaddress.ip_network(value))


Cidr = Annotated[str, AfterValidator(_network)]
"""A network, such as `192.0.2.0/24`, or one address. Bits beyond the prefix are a mistake."""


class NetworkSettings(_Block):
    """From where people may work: at sign-in, refresh and token exchange."""

    allow: Annotated[tuple[Cidr, ...], Field(min_length=1, max_length=1000)] = EVERYWHERE
    bypass_for_sso: bool = False
    """People whom another organization's sign-in vouched for (`fed` among the `amr`) may come from anywhere."""


_timezones = lru_cache(maxsize=1)(zoneinfo.available_timezones)


def _timezone(value: str) -> str:
    # Only names of the time-zone database: a path is none.
    if value not in _timezones():
        raise ValueError("a time zone is wanted, such as Europe/Berlin")
    return value


class HourSettings(_Block):
    """When people may work: at sign-in, refresh and token exchange."""

    timezone: Annotated[str, AfterValidator(_timezone)]
    days: Annotated[tuple[Annotated[int, Field(ge=1, le=7)], ...], Field(min_length=1, max_length=7)]
    """Of the week: Monday is 1 (ISO 8601)."""
    start: Annotated[int, Field(ge=0, le=23)]
    """The full hour they begin."""
    end: Annotated[int, Field(ge=1, le=24)]
    """The full hour they are over. Smaller than `start`: on the next day."""

    @model_validator(mode="after")
    def _some(self) -> "HourSettings":
        if self.start == self.end:
            raise ValueError("start and end are the same hour")
        return self


class PasswordSettings(_Block):
    """What a password has to look like. All but `preset` counts where that is `custom`."""

    preset: Literal["nist", "classic-8", "classic-12", "custom"] = "nist"
    min_length: Annotated[int, Field(ge=8, le=128)] = 12
    require_uppercase: bool = True
    require_lowercase: bool = True
    require_digit: bool = True
    require_special: bool = True
    prevent_reuse: Annotated[int, Field(ge=0, le=24)] = 5
    """So many of a person's last passwords, the present one among them, are not taken again; 0: any."""
    max_age_days: Annotated[int, Field(ge=0, le=3660)] = 90
    """After so many days a sign-in asks for a new one; 0: never."""


class MfaSettings(_Block):
    """Who shows a second factor, and which ones count."""

    required: Literal["all", "roles", "none"] = "roles"
    """Of whom one is demanded. Whoever has one shows it in any case."""
    roles: Annotated[tuple[str, ...], Field(max_length=100)] = ("admin", "super_admin")
    """With `roles`: of the people who have one of these."""
    methods: Annotated[
        tuple[Literal["passkey", "totp", "sms", "email"], ...], Field(min_length=1, max_length=4)
    ] = ("passkey", "totp", "sms")
    """What people may use. `sms` counts where the deployment can send text messages, `email` for people whose address
    is confirmed."""
    trusted_device_days: Annotated[int, Field(ge=0, le=365)] = 30
    """How long a browser may go without the second factor when its person says so; 0: it may not."""

    @model_validator(mode="after")
    def _for_everybody(self) -> "MfaSettings":
        if {"passkey", "totp"}.isdisjoint(self.methods):
            raise ValueError(
                "passkey or totp has to be among the methods: nothing else is there for everybody"
            )
        return self

    def is_demanded_of(self, roles: Collection[str]) -> bool:
        """Whether people of these roles have to show a second factor."""
        covered = not frozenset(self.roles).isdisjoint(roles)
        return self.required == "all" or (self.required == "roles" and covered)


_ORIGIN = r"^(?:https://[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?|android:apk-key-hash:[A-Za-z0-9_-]{43})$"
_AAGUID = r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


class PasskeySettings(_Block):
    """Which passkeys people may have, and what one has to show."""

    user_verification: Literal["required", "preferred", "discouraged"] = "preferred"
    """Whether a passkey verifies who uses it, by PIN or finger. One that did is two factors."""
    attestation: Literal["none", "direct", "verified"] = "none"
    """`direct` asks a passkey which model it is of and takes its word; `verified` wants proof, by certificates the
    deployment trusts (`WATCHWORD_ATTESTATION_ROOTS`, `WATCHWORD_FIDO_METADATA`)."""
    allowed_aaguids: Annotated[tuple[Annotated[str, Field(pattern=_AAGUID)], ...], Field(max_length=500)] = ()
    """The models that are accepted; empty: all. Asks for `attestation` `direct` or `verified`."""
    related_origins: Annotated[tuple[Annotated[str, Field(pattern=_ORIGIN)], ...], Field(max_length=20)] = ()
    """Other origins where this tenant's passkeys may be used (WebAuthn section 5.11), and Android applications by the
    hash of their certificate."""

    @model_validator(mode="after")
    def _told(self) -> "PasskeySettings":
        if self.allowed_aaguids and self.attestation == "none":
            raise ValueError(
                "allowed_aaguids needs attestation direct or verified: nothing else says which model it is"
            )
        return self


class LockoutSettings(_Block):
    """When guessing is slowed down. A first pause is as long as the window, the next twice that, up to the longest."""

    failures: Annotated[int, Field(ge=3, le=1000)] = 10
    window_seconds: Annotated[Seconds, Field(ge=60, le=86400)] = 900
    longest_pause_seconds: Annotated[Seconds, Field(ge=60, le=86400)] = 14400


class AuthenticationSettings(_Block):
    """How people sign in."""

    require_verified_email: bool = False
    """Whether people whose e-mail address is not confirmed confirm it when they sign in."""
    methods: Annotated[
        tuple[Literal["password", "passkey", "email"], ...], Field(min_length=1, max_length=3)
    ] = ("password", "passkey")
    """What a sign-in may begin with. `email`: a code and a link, sent to the address of the account."""
    mfa: MfaSettings = MfaSettings()
    passkeys: PasskeySettings = PasskeySettings()
    password: PasswordSettings = PasswordSettings()
    lockout: LockoutSettings = LockoutSettings()


_DOMAIN = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$"


class RegistrationSettings(_Block):
    """Who may make an account or register a client by themselves."""

    people: Literal["invitation", "domain", "open"] = "invitation"
    """`invitation`: who was invited; `domain`: whoever reads mail at one of `domains` as well; `open`: everybody."""
    domains: Annotated[tuple[Annotated[str, Field(pattern=_DOMAIN)], ...], Field(max_length=200)] = ()
    """Of e-mail addresses, in lower case; `example.com` does not stand for its subdomains."""
    clients: Literal["off", "token", "open"] = "off"
    """Whether clients may register themselves: with an initial access token, or anybody's (RFC 7591)."""
    client_rules: ClientRulesSettings = ClientRulesSettings()

    @model_validator(mode="after")
    def _named(self) -> "RegistrationSettings":
        if self.people == "domain" and not self.domains:
            raise ValueError("registration by domain needs domains")
        return self


class ProfileAttribute(_Block):
    """Something a tenant knows of its people."""

    type: Literal["string", "text", "boolean", "integer", "date", "url"] = "string"
    """`text` may have several lines; `date` is `2026-05-04`; `url` is https."""
    label: dict[LanguageTag, Annotated[str, Field(min_length=1, max_length=200)]] = {}
    """By language. Absent: our own words for a standard claim, else the attribute's name."""
    required: bool = False
    editable_by: Literal["person", "admin"] = "person"
    visible: bool = True
    """Whether the person sees it in their account."""
    claim: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_:/.-]{0,199}$")] | None = None
    """The claim it is kept as; absent: the attribute's name."""
    choices: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    max_length: Annotated[int, Field(ge=1, le=2000)] | None = None


_RESERVED_CLAIMS = frozenset(
    {"email", "email_verified", "roles", "groups", "permissions", "updated_at", "address"}
)
"""Of people, but kept elsewhere or of another shape."""


class PeopleSettings(_Block):
    """What is known of people, and how they leave."""

    attributes: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")], ProfileAttribute] = {
        "name": ProfileAttribute(),
        "given_name": ProfileAttribute(),
        "family_name": ProfileAttribute(),
        "locale": ProfileAttribute(max_length=35),
        "zoneinfo": ProfileAttribute(max_length=64),
    }
    deletion_grace_days: Annotated[int, Field(ge=0, le=365)] = 14
    """How long somebody who asks to be deleted may change their mind."""

    @model_validator(mode="after")
    def _kept_apart(self) -> "PeopleSettings":
        claims = [attribute.claim or name for name, attribute in self.attributes.items()]
        if len(set(claims)) != len(claims):
            raise ValueError("two attributes are kept as the same claim")
        if not _RESERVED_CLAIMS.union(PROTECTED_CLAIMS).isdisjoint(claims):
            raise ValueError("an attribute would set a claim that others rely on")
        return self


TermsUrl = Annotated[str, Field(pattern=r"^https://[^\s<>\"]{1,1990}$")]
TermsText = Annotated[str, Field(max_length=2000)]


class TermsSettings(_Block):
    """What people agree to before they go on. A new version is asked for at the next sign-in."""

    version: Annotated[str, Field(min_length=1, max_length=100)]
    url: TermsUrl | Annotated[dict[LanguageTag, TermsUrl], Field(min_length=1, max_length=50)]
    """Where they are: one address, or one per language."""
    text: TermsText | Annotated[dict[LanguageTag, TermsText], Field(max_length=50)] = ""
    """What changed, or what they are about, in a few sentences; perhaps per language."""


class KeySettings(_Block):
    """How long keys and secrets are used."""

    rotate_days: Annotated[int, Field(ge=0, le=3660)] = 90
    """A signing key signs so long before the next takes over by itself; 0: only `watchword keys rotate` does it."""
    client_secret_grace_seconds: Annotated[Seconds, Field(ge=0, le=30 * 86400)] = 86400
    """How long a client's former secret is good beside the new one."""


class TokenExchangeSettings(_Block):
    """How far a person's or client's authority may be handed on (RFC 8693)."""

    max_depth: Annotated[int, Field(ge=1, le=10)] = 4


class AuditSettings(_Block):
    """How long the audit chain is kept."""

    retention_days: Annotated[int, Field(ge=1, le=3660)] = 90


class LanguageSettings(_Block):
    """The languages of pages and mails."""

    default: LanguageTag = languages.SOURCE
    offered: tuple[LanguageTag, ...] = ()
    """Empty: every language there is."""

    def among(self, there_are: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `there_are` that are offered."""
        wanted = {self.default, *self.offered} if self.offered else set(there_are)
        return tuple(tag for tag in there_are if tag in wanted) or (languages.SOURCE,)


class TenantSettings(_Block):
    """Everything a tenant decides. Absent values are the defaults."""

    tokens: TokenSettings = TokenSettings()
    sessions: SessionSettings = SessionSettings()
    network: NetworkSettings = NetworkSettings()
    hours: HourSettings | None = None
    authentication: AuthenticationSettings = AuthenticationSettings()
    registration: RegistrationSettings = RegistrationSettings()
    people: PeopleSettings = PeopleSettings()
    terms: TermsSettings | None = None
    token_exchange: TokenExchangeSettings = TokenExchangeSettings()
    audit: AuditSettings = AuditSettings()
    profile: Literal["oauth2.1", "oidc-legacy", "fapi2-security", "fapi2-message-signing"] = "oauth2.1"
    """What clients are held to that name no profile of their own."""
    require_pushed_authorization_requests: bool = False
    """Whether every client has to push its authorization requests (RFC 9126)."""
    legacy_response_types: bool = False
    """Whether clients that register them may have tokens in the authorization response."""
    keys: KeySettings = KeySettings()
    languages: LanguageSettings = LanguageSettings()
    branding: BrandingSettings = BrandingSettings()
