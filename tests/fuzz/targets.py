"""Every endpoint, page and API route, and what a request to it is made of. `test_fuzz` fails for one without a row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

from app.domain.assurance import ONE_FACTOR
from app.protocols.oauth.metadata import PROMPT_VALUES
from tests.fuzz import values
from tests.fuzz.values import Fresh, Value
from tests.fuzz.world import APP, OPAQUE_API, PASSWORD, REDIRECT_URI, REGISTERED, USERNAME, World
from tests.protocol.parties import API

NOBODY = "0" * 36
"""An id of the right length that nothing has."""
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SCOPE_WORDS = (
    "openid",
    "profile",
    "email",
    "offline_access",
    "groups",
    "read",
    "write",
    "watchword:admin",
    "nobodys",
)

PARAMETERS: Mapping[str, st.SearchStrategy[Value]] = {
    "access_token": values.tokens("access", "opaque", "id_token", "refresh"),
    "acr_values": values.words(ONE_FACTOR, "0", "1"),
    "answer": st.sampled_from(["allow", "deny", "ALLOW", "maybe"]),
    "claims": values.json_bombs(),
    "claims_locales": values.words("en", "se", "x-y"),
    "client_assertion": values.tokens("id_token", "access"),
    "client_assertion_type": st.sampled_from([ASSERTION_TYPE, ASSERTION_TYPE.upper(), "urn:x"]),
    "client_id": st.sampled_from([APP, "server", "APP", "nobody", "a" * 201]),
    "client_secret": st.just(Fresh("client_secret")),
    "code": values.tokens("code", "refresh"),
    "code_challenge": st.sampled_from(["c" * 43, "c" * 44, "c" * 42 + "=", "é" * 43]),
    "code_challenge_method": st.sampled_from(["S256", "plain", "s256"]),
    "code_verifier": st.sampled_from(["v" * 43, "v" * 42, "v" * 129, "é" * 43]),
    "confirmed": values.tokens("logout"),
    "consent": values.tokens("consent"),
    "csrf_token": values.tokens("csrf"),
    "cursor": values.numbers(),
    "display": st.sampled_from(["page", "popup", "touch", "wap", "tv"]),
    "done": st.sampled_from(["withdrawn", "x"]),
    "email": st.sampled_from(
        ["a@example.com", "a@", "@", "a@b@c", "é@é.example", "a" * 400 + "@example.com"]
    ),
    "grant_type": st.sampled_from(
        ["authorization_code", "refresh_token", "client_credentials", "password", "implicit", "urn:x:y"]
    ),
    "id_token_hint": values.tokens("id_token", "access"),
    "language": st.sampled_from(["de", "ar", "en", "xx", "de-CH", "d" * 9000]),
    "limit": values.numbers(),
    "login_hint": st.sampled_from([USERNAME, "alice@example.com", "ALICE@EXAMPLE.COM"]),
    "logout_hint": st.sampled_from([USERNAME]),
    "max_age": values.numbers(),
    "nonce": st.sampled_from(["n", "n" * 384]),
    "password": st.sampled_from([PASSWORD, "wrong", "p" * 1025, "\ud7ff" * 400]),
    "post_logout_redirect_uri": values.uris(REGISTERED),
    "prompt": values.words(*PROMPT_VALUES, "create"),
    "redirect_uri": values.uris(REGISTERED),
    "refresh_token": values.tokens("refresh", "code"),
    "registration": values.json_bombs(),
    "request": values.tokens("id_token"),
    "request_uri": values.uris(REGISTERED),
    "resource": values.uris((API, OPAQUE_API, "https://nobody.example")),
    "response_mode": st.sampled_from(["query", "form_post", "fragment", "jwt", "form_post "]),
    "response_type": st.sampled_from(["code", "token", "id_token", "code id_token", "none", "Code"]),
    "return_to": st.sampled_from(
        ["/sign-in", "//elsewhere.example", "/\\elsewhere.example", "https://x", "/\r\nX: y"]
    ),
    "scope": values.words(*SCOPE_WORDS),
    "session": st.sampled_from(["0" * 36, "s" * 300]),
    "state": st.sampled_from(
        ["s", "s" * 128, "s" * 2049, values.MARK + "\r\nX: y", values.MARK + "<i>&a=b#c"]
    ),
    "step": st.sampled_from(["sign-in", "consent", "switch", "cancel", "return", "withdraw", "x"]),
    "token": values.tokens("access", "opaque", "refresh", "id_token", "code"),
    "token_type_hint": st.sampled_from(["access_token", "refresh_token", "id_token"]),
    "ui_locales": values.words("en", "de-DE", "se"),
    "username": st.sampled_from([USERNAME, "alice@example.com", "nobody", "İ" * 50, "u" * 300]),
}
"""What is particular to each parameter; `values.hostile()` goes for all of them."""

AUTHORIZATION = tuple(
    """client_id redirect_uri response_type scope state nonce response_mode code_challenge code_challenge_method prompt
    max_age acr_values login_hint id_token_hint ui_locales claims_locales claims display resource request request_uri
    registration""".split()
)
CLIENT = ("client_id", "client_secret", "client_assertion", "client_assertion_type")
PAGE_FORM = ("csrf_token", "step")


@dataclass(frozen=True)
class Setting:
    """What a request stands on: the last parts of its path, its cookies, and form values made for it alone."""

    segments: tuple[str, ...] = ()
    cookies: str = ""
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """One route. `path` has a `{}` for each segment a request may choose."""

    name: str
    methods: tuple[str, ...]
    path: str
    parameters: tuple[str, ...] = ()
    good: Mapping[str, Value] = field(default_factory=dict)
    """A request that gets through, as far as its parameters go."""
    basic: bool = False
    bearer: bool = False
    setting: Callable[[World], Setting] = lambda world: Setting()
    above_tenants: bool = False
    """Whether the path is the deployment's rather than a tenant's."""
    share: int = 1
    """How many times the least number of requests it gets."""


def _signed_in(world: World) -> Setting:
    return Setting(cookies=world.session_cookie())


def _interaction(**changes: str) -> Callable[[World], Setting]:
    def make(world: World) -> Setting:
        found, cookies, token = world.interaction(**changes)
        return Setting((found,), cookies, {"csrf_token": token})

    return make


def _admin_link(world: World) -> Setting:
    link, token = world.admin_link()
    return Setting((link,), "", {"csrf_token": token})


def _logout_handle(world: World) -> Setting:
    return Setting((world.value(Fresh("logout")),), world.session_cookie())


_ASKED: Mapping[str, Value] = {
    "client_id": APP,
    "redirect_uri": REDIRECT_URI,
    "response_type": "code",
    "scope": "openid profile read",
    "state": "state-1",
    "nonce": "nonce-1",
    "code_challenge": "c" * 43,
    "code_challenge_method": "S256",
}
_LEAVING: Mapping[str, Value] = {
    "id_token_hint": Fresh("id_token"),
    "client_id": "server",
    "state": "state-1",
}

TARGETS: tuple[Target, ...] = (
    Target("openid_configuration", ("GET", "HEAD"), "/.well-known/openid-configuration"),
    Target("oauth_metadata", ("GET", "HEAD"), "/.well-known/oauth-authorization-server"),
    Target("jwks", ("GET", "HEAD"), "/jwks"),
    Target("authorize", ("GET", "POST"), "/authorize", AUTHORIZATION, _ASKED, setting=_signed_in, share=6),
    Target(
        "authorize",
        ("GET", "POST"),
        "/authorize",
        AUTHORIZATION,
        {**_ASKED, "response_mode": "form_post", "claims": '{"id_token": {"email": null}}'},
        setting=_signed_in,
        share=3,
    ),
    Target(
        "token",
        ("POST",),
        "/token",
        ("grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope", "resource", *CLIENT),
        {"grant_type": "authorization_code", "code": Fresh("code"), "redirect_uri": REDIRECT_URI},
        basic=True,
        share=3,
    ),
    Target(
        "token",
        ("POST",),
        "/token",
        ("grant_type", "refresh_token", "scope", "resource", *CLIENT),
        {"grant_type": "refresh_token", "refresh_token": Fresh("refresh")},
        basic=True,
        share=2,
    ),
    Target(
        "token",
        ("POST",),
        "/token",
        ("grant_type", "scope", "resource", *CLIENT),
        {"grant_type": "client_credentials", "scope": "read"},
        basic=True,
        share=2,
    ),
    Target(
        "revoke",
        ("POST",),
        "/revoke",
        ("token", "token_type_hint", *CLIENT),
        {"token": Fresh("access")},
        basic=True,
        share=2,
    ),
    Target(
        "introspect",
        ("POST",),
        "/introspect",
        ("token", "token_type_hint", *CLIENT),
        {"token": Fresh("access")},
        basic=True,
        share=2,
    ),
    Target("userinfo", ("GET", "HEAD", "POST"), "/userinfo", ("access_token",), bearer=True, share=2),
    Target(
        "logout",
        ("GET", "POST"),
        "/logout",
        ("id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"),
        _LEAVING,
        setting=_signed_in,
        share=3,
    ),
    Target(
        "logout",
        ("POST",),
        "/logout",
        ("confirmed", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "confirmed": Fresh("logout")},
        setting=_signed_in,
    ),
    Target("logout_request", ("GET",), "/logout/{}", setting=_logout_handle),
    Target("sign_out", ("GET",), "/sign-out", setting=_signed_in),
    Target("sign_in", ("GET",), "/sign-in"),
    Target("start", ("GET",), "/", setting=_signed_in),
    Target("account", ("GET",), "/account", setting=_signed_in),
    Target("account_security", ("GET",), "/account/security", setting=_signed_in),
    Target("account_applications", ("GET",), "/account/applications", ("done",), setting=_signed_in),
    Target(
        "account_applications_step",
        ("POST",),
        "/account/applications",
        ("consent", "client", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "consent": Fresh("consent"), "step": "withdraw"},
        setting=_signed_in,
        share=2,
    ),
    Target("interaction", ("GET",), "/interaction/{}", setting=_interaction()),
    Target(
        "interaction_step",
        ("POST",),
        "/interaction/{}",
        ("answer", "session", *PAGE_FORM),
        {"step": "consent", "answer": "allow"},
        setting=_interaction(),
        share=2,
    ),
    Target(
        "interaction_step",
        ("POST",),
        "/interaction/{}",
        ("username", "password", *PAGE_FORM),
        {"step": "sign-in", "username": USERNAME, "password": PASSWORD},
        setting=_interaction(prompt="login", response_mode="form_post"),
    ),
    Target("first_admin", ("GET",), "/first-admin/{}", setting=_admin_link),
    Target(
        "first_admin_step",
        ("POST",),
        "/first-admin/{}",
        ("username", "email", "password", *PAGE_FORM),
        {"username": "root", "email": "root@example.com", "password": "long enough for everybody"},
        setting=_admin_link,
    ),
    Target("mailbox", ("GET",), "/dev/mailbox"),
    Target(
        "language",
        ("POST",),
        "/language",
        ("language", "return_to", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "language": "de", "return_to": "/sign-in"},
        setting=_signed_in,
    ),
    Target("brand_css", ("GET",), "/brand.css", ("v",)),
    Target("brand_picture", ("GET",), "/brand/{}", ("v",), setting=lambda world: Setting(("logo",))),
    Target("client_logo", ("GET",), "/client-logo", ("client_id", "v"), {"client_id": APP}),
    Target("brand_preview", ("GET",), "/brand-preview/{}", setting=lambda world: Setting(("p" * 43,))),
    Target(
        "brand_preview_part", ("GET",), "/brand-preview/{}/{}", setting=lambda world: Setting(("p" * 43, "logo"))
    ),
    Target("mailbox_html", ("GET",), "/dev/mailbox/{}", setting=lambda world: Setting((NOBODY,))),
    Target("static", ("GET",), "/static/{}", ("v",), setting=lambda world: Setting(("watchword.css",))),
    Target("api.openapi", ("GET",), "/api/v1/openapi.json"),
    Target("api.me", ("GET",), "/api/v1/me", bearer=True),
    Target("api.tenant", ("GET",), "/api/v1/tenant", bearer=True),
    Target("api.audit", ("GET",), "/api/v1/audit", ("cursor", "limit"), {"limit": "5"}, bearer=True, share=2),
    Target("api.dead_letters", ("GET",), "/api/v1/outbox/dead-letters", ("cursor", "limit"), bearer=True),
    Target(
        "api.retry_dead_letter",
        ("POST",),
        "/api/v1/outbox/dead-letters/{}/retry",
        bearer=True,
        setting=lambda world: Setting((str(world.dead_letter_id),)),
    ),
    Target("health.live", ("GET", "HEAD"), "/health/live", above_tenants=True),
    Target("health.ready", ("GET", "HEAD"), "/health/ready", above_tenants=True),
    Target("metrics", ("GET", "HEAD"), "/metrics", above_tenants=True),
    Target("nowhere", ("GET", "POST"), "/{}", setting=lambda world: Setting(("nowhere",))),
    Target("nowhere", ("GET",), "/t/{}/authorize", AUTHORIZATION, _ASKED, above_tenants=True,
           setting=lambda world: Setting((world.tenant.slug,))),
    Target("nowhere", ("GET",), "/.well-known/{}/t/{}", above_tenants=True,
           setting=lambda world: Setting(("openid-configuration", world.tenant.slug))),
)  # fmt: skip
