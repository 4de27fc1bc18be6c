"""Request objects (RFC 9101): parameters the client signed, in the request itself or at an address it registered."""

import json
from collections.abc import Mapping
from typing import Any

from app.domain.client_metadata import REQUEST_OBJECT_ALGORITHMS
from app.infra.jose import InvalidToken, Verified
from app.infra.limits import (
    REQUEST_URIS,
    REQUEST_URIS_ALL,
    REQUEST_URIS_NETWORK,
    RateLimited,
    network_of,
    require,
)
from app.infra.state import Key, PutIfAbsent
from app.kernel import clock
from app.kernel.errors import Problem
from app.kernel.secrets import lookup_hash
from app.protocols.oauth import profiles
from app.protocols.oauth.steps import sources
from app.protocols.oauth.steps.draft import MULTIPLE, Draft
from app.protocols.oauth.steps.refusals import (
    OBJECT_ALGORITHM,
    OBJECT_AUDIENCE,
    OBJECT_CLIENT,
    OBJECT_INVALID,
    OBJECT_ISSUER,
    OBJECT_KEYS,
    OBJECT_REPLAYED,
    OBJECT_SIGNATURE,
    OBJECT_TIMES,
    OBJECT_TYPE,
    REQUEST_URI_BUSY,
    REQUEST_URI_FETCH,
    REQUEST_URI_NOT_ALLOWED,
    REQUEST_URI_UNREGISTERED,
)

MAX_LIFE_SECONDS = 3600
"""FAPI 2.0 Message Signing section 5.3.1: `exp` at most 60 minutes after `nbf`, `nbf` at most 60 minutes ago."""
SKEW_SECONDS = 30
MAX_JTI = 256
MAX_BYTES = 16_384
TIMEOUT_SECONDS = 3.0

TYPES = (None, "jwt", "oauth-authz-req+jwt")
"""What `typ` may be, in lower case: tokens made for another purpose are refused (RFC 9101 section 10.8)."""
CLAIMS_OF_JWT = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti", "sub"})
"""Members that are about the object and are no parameters."""
READ = frozenset(
    """response_type client_id redirect_uri scope state nonce response_mode code_challenge code_challenge_method prompt
    max_age acr_values login_hint id_token_hint ui_locales display dpop_jkt claims authorization_details
    registration""".split()
)
STRUCTURED = frozenset({"claims", "authorization_details", "registration"})
"""Parameters that are JSON within JSON (OIDC Core section 6.1, RFC 9396 section 3)."""


def request_object(draft: Draft) -> None:
    """A request object takes the place of the parameters beside it; under `oidc-legacy` it goes before them, unless
    requests have to be signed. Signed is one all of whose parameters are the object's."""
    if "request" not in draft.parameters and "request_uri" not in draft.parameters:
        return
    sources.answerable(draft)
    token = draft.parameters.get("request") or _fetched(draft, draft.parameters["request_uri"])
    claims = _verified(draft, token)
    parameters, resources = _parameters(claims)
    _check_client(draft, parameters)
    draft.signed, draft.redirect_uri = True, None
    if profiles.merges_request_objects(draft.known_client, draft.tenant):
        beside = {k: v for k, v in draft.parameters.items() if k not in ("request", "request_uri")}
        draft.signed = beside.keys() <= parameters.keys() and bool(resources or not draft.resources_asked)
        draft.parameters = {**beside, **parameters}
        draft.resources_asked = resources or draft.resources_asked
        draft.repeated -= parameters.keys()
    else:
        draft.parameters, draft.resources_asked = parameters, resources
        draft.repeated = frozenset()


def _fetched(draft: Draft, request_uri: str) -> str:
    """The object at a registered address (RFC 9101 section 5.2), which is asked for each time."""
    client = draft.known_client
    if not draft.profile.by_reference:
        raise REQUEST_URI_NOT_ALLOWED()
    address = request_uri.partition("#")[0]
    if address not in client.request_uris:
        raise REQUEST_URI_UNREGISTERED(
            f"{ascii(address)[:300]} is not one of {client.client_id}'s request_uris"
        )
    _count(draft)
    try:
        found = draft.directories.fetcher.get(
            address,
            max_bytes=MAX_BYTES,
            timeout_seconds=TIMEOUT_SECONDS,
            accept="application/oauth-authz-req+jwt, application/jwt",
        )
        if found.status != 200:
            raise REQUEST_URI_FETCH(f"{address} answered {found.status}")
        return found.body.decode("ascii").strip()
    except UnicodeDecodeError:
        raise OBJECT_INVALID("not ASCII") from None
    except Problem as fault:
        if fault.code == "fetch.busy":
            raise REQUEST_URI_BUSY(fault.detail) from None
        raise REQUEST_URI_FETCH(f"{fault.code}: {fault.detail}") from None


def _count(draft: Draft) -> None:
    """Before the client's server is asked: it may be slow on purpose, and whoever asks may be anybody."""
    tenant, network = draft.tenant.id, network_of(draft.remote_address)
    counted = draft.directories.state.execute(
        REQUEST_URIS.count(tenant, draft.known_client.client_id, network),
        REQUEST_URIS_NETWORK.count(tenant, network),
        REQUEST_URIS_ALL.count(tenant),
    )
    try:
        require(counted, REQUEST_URIS, REQUEST_URIS_NETWORK, REQUEST_URIS_ALL)
    except RateLimited as wait:
        raise REQUEST_URI_BUSY(str(wait)) from None


def _verified(draft: Draft, token: str) -> Mapping[str, Any]:
    """The claims of an object the client signed, every one that is about the object checked."""
    client = draft.known_client
    allowed = draft.profile.algorithms or REQUEST_OBJECT_ALGORITHMS
    algorithms = profiles.accepted_algorithms(client.request_object_signing_alg, allowed)
    try:
        found = draft.directories.client_keys.verify(token, draft.tenant.id, client, algorithms)
    except InvalidToken as fault:
        case = _BY_FAULT.get(fault.code, OBJECT_INVALID)
        raise case(f"{fault.code}: {fault.detail}") from None
    if found is None:
        raise OBJECT_KEYS(f"no keys at {client.jwks_uri}")
    _check_type(found)
    claims = found.claims
    if missing := [name for name in draft.profile.request_object_claims if name not in claims]:
        raise OBJECT_INVALID(f"without {missing}")
    if claims.get("iss", client.client_id) != client.client_id:
        raise OBJECT_ISSUER(ascii(claims.get("iss"))[:200])
    aud = claims.get("aud", draft.tenant.issuer)
    if draft.tenant.issuer not in (aud if isinstance(aud, list) else [aud]):
        raise OBJECT_AUDIENCE(ascii(aud)[:300])
    if claims.get("sub") == client.client_id:
        # It could be taken for a client assertion (RFC 9101 section 10.8.1).
        raise OBJECT_INVALID("sub is the client_id")
    expires_at = _check_times(claims)
    _note_first_use(draft, claims, expires_at)
    return claims


_BY_FAULT = {
    "token.algorithm": OBJECT_ALGORITHM,
    "token.unknown_key": OBJECT_SIGNATURE,
    "token.signature": OBJECT_SIGNATURE,
}


def _check_type(found: Verified) -> None:
    typ = found.header.get("typ")
    named = typ.lower().removeprefix("application/") if isinstance(typ, str) else typ
    if named not in TYPES:
        raise OBJECT_TYPE(ascii(typ)[:100])


def _check_times(claims: Mapping[str, Any]) -> float | None:
    """Neither too old nor too long-lived; gives when it expires, if it says."""
    now = clock.now().timestamp()
    exp, nbf, iat = (_number(claims, name) for name in ("exp", "nbf", "iat"))
    if exp is not None and not now - SKEW_SECONDS < exp <= now + MAX_LIFE_SECONDS + SKEW_SECONDS:
        raise OBJECT_TIMES(f"exp {exp}, now {now:.0f}")
    if nbf is not None and not now - MAX_LIFE_SECONDS - SKEW_SECONDS <= nbf <= now + SKEW_SECONDS:
        raise OBJECT_TIMES(f"nbf {nbf}, now {now:.0f}")
    if exp is not None and nbf is not None and exp - nbf > MAX_LIFE_SECONDS:
        raise OBJECT_TIMES(f"exp is {exp - nbf:.0f} s after nbf")
    if iat is not None and iat > now + SKEW_SECONDS:
        raise OBJECT_TIMES(f"iat {iat}, now {now:.0f}")
    return exp


def _number(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1 << 53:
        raise OBJECT_TIMES(f"{name} is no NumericDate")
    return float(value)


def _note_first_use(draft: Draft, claims: Mapping[str, Any], expires_at: float | None) -> None:
    """A `jti` is good once where requests are pushed. A page that is loaded again sends its object again."""
    jti = claims.get("jti")
    if jti is None:
        return
    if not isinstance(jti, str) or not 1 <= len(jti) <= MAX_JTI:
        raise OBJECT_INVALID("jti is no text of up to 256 characters")
    left = MAX_LIFE_SECONDS if expires_at is None else expires_at - clock.now().timestamp()
    used = Key(draft.tenant.id, "request-object", lookup_hash(f"{draft.known_client.client_id}\0{jti}"))
    ttl = max(1, int(left) + SKEW_SECONDS + 1)
    draft.first_uses.append((PutIfAbsent(used, b"1", ttl, required=True), OBJECT_REPLAYED))


def _parameters(claims: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The claims as the parameters they stand for."""
    single: dict[str, str] = {}
    several: list[str] = []
    for name, value in claims.items():
        if name in CLAIMS_OF_JWT or value is None or value == "":
            continue
        if name in ("request", "request_uri"):
            raise OBJECT_INVALID(f"{name} inside a request object (RFC 9101 section 4)")
        if name in MULTIPLE:
            several += value if isinstance(value, list) else [value]
        elif (text := _text(name, value)) is not None:
            single[name] = text
    if len(several) > 20 or not all(isinstance(item, str) for item in several):
        raise OBJECT_INVALID("resource is a text or a list of them")
    for text in (*single.values(), *several):
        if any(c < " " or c == "\x7f" for c in text):
            raise OBJECT_INVALID("a control character")
    return single, tuple(several)


def _text(name: str, value: Any) -> str | None:
    """A parameter as it stands in a form; None for what nobody here reads and is no text (RFC 9101 section 4)."""
    if isinstance(value, str):
        return value
    if name in STRUCTURED and isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if name in READ:
        raise OBJECT_INVALID(f"{name} is no text")
    return None


def _check_client(draft: Draft, parameters: dict[str, str]) -> None:
    """Whoever sent the request is whose object it is (RFC 9101 section 5); so is the response type of 2014."""
    client = draft.known_client
    if parameters.setdefault("client_id", client.client_id) != client.client_id:
        raise OBJECT_CLIENT(ascii(parameters["client_id"])[:200])
    beside = draft.parameters.get("response_type")
    if profiles.merges_request_objects(client, draft.tenant) and beside is not None:
        inside = parameters.get("response_type", beside)
        if sorted(inside.split()) != sorted(beside.split()):
            raise OBJECT_INVALID("response_type differs from the one beside it (OIDC Core section 6.1)")
