"""What the steps work on, and what they leave: a draft that fills up, and a request that no longer changes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from app.domain.authorization_details import Detail, DetailsTypes
from app.domain.clients import ClientDirectory, ClientRecord
from app.domain.resources import ResourceDirectory, ResourceRecord
from app.domain.tenants import TenantContext
from app.infra.keyring import Keyring
from app.infra.state import Op
from app.protocols.oauth import profiles
from app.protocols.oauth.client_keys import ClientKeys, Fetches
from app.protocols.oauth.errors import Case
from app.protocols.oauth.profiles import Profile
from app.protocols.oauth.steps.refusals import MALFORMED
from app.protocols.oauth.trip import Executes

MULTIPLE = frozenset({"resource"})
"""Parameters that may come more than once (RFC 8707 section 2)."""


@dataclass(frozen=True, slots=True)
class Directories:
    """Where the steps look things up."""

    clients: ClientDirectory
    resources: ResourceDirectory
    keyring: Keyring
    details_types: DetailsTypes
    client_keys: ClientKeys
    fetcher: Fetches
    state: Executes


@dataclass(slots=True)
class Draft:
    """An authorization request while it is being checked. Each step reads what is before it and adds its own.

    `redirect_uri` is set once it can be trusted: from then on refusals go there.
    """

    tenant: TenantContext
    directories: Directories
    parameters: Mapping[str, str]
    """Single values. A parameter without a value counts as absent (RFC 6749 section 3.1)."""
    resources_asked: tuple[str, ...]
    repeated: frozenset[str]
    """Names that came more than once although they may not."""
    remote_address: str = "-"
    client: ClientRecord | None = None
    pushed: str | None = None
    """What the request was pushed under, hashed; None: it was not."""
    signed: bool = False
    """The parameters are those of a request object the client signed."""
    first_uses: list[tuple[Op, Case]] = field(default_factory=list)
    """What shows that nothing in the request was used before, for the endpoint to carry out with what it stores."""
    redirect_uri: str | None = None
    redirect_uri_given: bool = False
    response_type: str = "code"
    response_mode: str = "query"
    dpop_jkt: str | None = None
    code_challenge: str | None = None
    scopes: tuple[str, ...] = ()
    by_resource: dict[str, tuple[str, ...]] = field(default_factory=dict)
    audience: tuple[str, ...] = ()
    authorization_details: tuple[Detail, ...] = ()
    claims: dict[str, Any] = field(default_factory=dict)
    acr_values: tuple[str, ...] = ()
    max_age: int | None = None
    prompt: frozenset[str] = frozenset()
    hinted_user_id: str | None = None

    @property
    def known_client(self) -> ClientRecord:
        """The client, for the steps after the one that found it."""
        if self.client is None:
            raise MALFORMED("a step ran before the client was known")
        return self.client

    @property
    def profile(self) -> Profile:
        """What the client is held to."""
        return profiles.of(self.known_client, self.tenant)

    @property
    def state(self) -> str | None:
        """What goes back to the client unchanged; nothing when it was given twice."""
        return None if "state" in self.repeated else self.parameters.get("state")

    def resources(self) -> Mapping[str, ResourceRecord]:
        """The tenant's resources by identifier."""
        return self.directories.resources.all(self.tenant.id)


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A checked authorization request. Nothing later reads the URL again."""

    client_id: str
    redirect_uri: str
    redirect_uri_given: bool
    response_mode: str
    state: str | None
    nonce: str | None
    code_challenge: str | None
    scopes: tuple[str, ...]
    by_resource: dict[str, tuple[str, ...]]
    """Scopes by resource identifier; the empty name is the issuer itself."""
    resources: tuple[str, ...]
    """What the access token will be for."""
    claims: dict[str, Any]
    acr_values: tuple[str, ...]
    max_age: int | None
    prompt: frozenset[str]
    hinted_user_id: str | None
    login_hint: str | None
    ui_locales: str | None
    response_type: str = "code"
    response_alg: str = "RS256"
    """What the answer is signed with where `response_mode` is one of JARM's."""
    pushed: str | None = None
    """What the request was pushed under, hashed: it is good for one answer."""
    dpop_jkt: str | None = None
    authorization_details: tuple[Detail, ...] = ()
    device: str | None = None
    """The device that waits for the answer, in place of a redirect URI (RFC 8628)."""
    user_code: str = ""
    """The code the person came with, to be compared with what the device shows."""
    device_confirmed: bool = False
    """The person said that the code is the one their device shows."""

    @property
    def unconfirmed_device(self) -> bool:
        """Whether a device waits whose code the person has not compared yet."""
        return self.device is not None and not self.device_confirmed

    @property
    def response_types(self) -> frozenset[str]:
        """What comes back: `code`, `id_token`, `token`."""
        return frozenset(self.response_type.split(" "))

    @property
    def silent(self) -> bool:
        """`prompt=none`: no page may be shown."""
        return "none" in self.prompt

    @property
    def offline(self) -> bool:
        """Whether refresh is to outlive the session."""
        return "offline_access" in self.scopes

    def to_json(self) -> dict[str, Any]:
        """As it is stored between pages."""
        return {**asdict(self), "prompt": sorted(self.prompt)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "AuthorizationRequest":
        """As it was stored."""
        values = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
        for name in ("scopes", "resources", "acr_values", "authorization_details"):
            values[name] = tuple(values.get(name, ()))
        values["by_resource"] = {k: tuple(v) for k, v in values["by_resource"].items()}
        values["prompt"] = frozenset(values["prompt"])
        return cls(**values)


def freeze(draft: Draft) -> AuthorizationRequest:
    """The request a draft became once every step agreed."""
    if draft.redirect_uri is None:
        raise MALFORMED("frozen without a redirect URI")
    return AuthorizationRequest(
        client_id=draft.known_client.client_id,
        redirect_uri=draft.redirect_uri,
        redirect_uri_given=draft.redirect_uri_given,
        response_mode=draft.response_mode,
        state=draft.state,
        nonce=draft.parameters.get("nonce"),
        code_challenge=draft.code_challenge,
        scopes=draft.scopes,
        by_resource=draft.by_resource,
        resources=draft.audience,
        claims=draft.claims,
        acr_values=draft.acr_values,
        max_age=draft.max_age,
        prompt=draft.prompt,
        hinted_user_id=draft.hinted_user_id,
        login_hint=draft.parameters.get("login_hint"),
        ui_locales=draft.parameters.get("ui_locales"),
        response_type=draft.response_type,
        response_alg=profiles.signing_algorithm(
            draft.known_client.authorization_signed_response_alg, draft.known_client, draft.tenant
        ),
        pushed=draft.pushed,
        dpop_jkt=draft.dpop_jkt,
        authorization_details=draft.authorization_details,
    )
