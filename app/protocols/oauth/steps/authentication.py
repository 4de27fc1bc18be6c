"""How the person is to be authenticated, and who the client thinks it is."""

from app.domain import assurance, registration
from app.domain.tenants import TenantContext
from app.protocols.oauth import hints
from app.protocols.oauth.steps.draft import Draft
from app.protocols.oauth.steps.refusals import ACR_UNMET, DISPLAY, HINT_INVALID, MAX_AGE, PROMPT

PROMPTS = frozenset({"none", "login", "consent", "select_account"})
CREATE = "create"
DISPLAYS = ("page", "popup", "touch", "wap")
MAX_AGE_LIMIT = 10 * 366 * 86400


def prompts(tenant: TenantContext) -> frozenset[str]:
    """What `prompt` may say in this tenant."""
    return PROMPTS | {CREATE} if registration.is_offered(tenant.settings.registration) else PROMPTS


def prompt_known(draft: Draft) -> None:
    """`none` alone, or any of `login`, `consent`, `select_account` (OIDC Core section 3.1.2.1), and `create` where
    people may make accounts (Initiating User Registration via OpenID Connect 1.0 section 4)."""
    prompt = frozenset(draft.parameters.get("prompt", "").split())
    if not prompt <= prompts(draft.tenant) or ("none" in prompt and len(prompt) > 1):
        raise PROMPT()
    draft.prompt = prompt


def max_age_number(draft: Draft) -> None:
    """Seconds since the sign-in that are still good enough; the client's `default_max_age` when it says nothing."""
    text = draft.parameters.get("max_age")
    if text is None:
        draft.max_age = draft.known_client.default_max_age
        return
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        raise MAX_AGE()
    draft.max_age = min(int(text), MAX_AGE_LIMIT)


def acr_available(draft: Draft) -> None:
    """`acr_values` is a wish (OIDC Core section 3.1.2.1); an essential `acr` claim is a demand (section 5.5.1.1)."""
    draft.acr_values = tuple(dict.fromkeys(draft.parameters.get("acr_values", "").split()))[:20]
    demanded = draft.claims.get("id_token", {}).get("acr") or {}
    values = demanded.get("values", [demanded["value"]] if "value" in demanded else [])
    if demanded.get("essential") and values and not any(v in assurance.ACR_VALUES for v in values):
        raise ACR_UNMET(f"none of {values!r:.200} is one of {assurance.ACR_VALUES}")


def display_known(draft: Draft) -> None:
    """`display` is checked and otherwise needs nothing: the pages fit every size."""
    if draft.parameters.get("display", "page") not in DISPLAYS:
        raise DISPLAY()


def id_token_hint_ours(draft: Draft) -> None:
    """Whom the client expects: an ID token of ours for this client, which may have expired.

    A `claims` parameter may ask for a `sub` as well (OIDC Core section 5.5.1), which is the client's own name of the
    person; both have to name the same one.
    """
    named = set()
    subjects, client = draft.directories.keyring.subjects, draft.known_client
    if (token := draft.parameters.get("id_token_hint")) is not None:
        hint = hints.read(token, draft.tenant, draft.directories.keyring)
        if hint is None or client.client_id not in hint.audience:
            raise HINT_INVALID()
        named.add(hint.user_id)
    for place in draft.claims.values():
        if isinstance(value := (place.get("sub") or {}).get("value"), str):
            user_id = subjects.known_as(draft.tenant.id, client.sector, value)
            if user_id is None:
                raise HINT_INVALID("claims name somebody as this client does not know anybody")
            named.add(user_id)
    if len(named) > 1:
        raise HINT_INVALID("id_token_hint and claims name different people")
    draft.hinted_user_id = named.pop() if named else None
