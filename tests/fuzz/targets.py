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

_TOKEN_TYPES = st.sampled_from(
    [
        f"urn:ietf:params:oauth:token-type:{kind}"
        for kind in ("access_token", "refresh_token", "id_token", "jwt", "x")
    ]
)

PARAMETERS: Mapping[str, st.SearchStrategy[Value]] = {
    "account": st.sampled_from(["another", "0" * 36, "x"]),
    "attributes": values.json_bombs(),
    "access_token": values.tokens("access", "opaque", "id_token", "refresh"),
    "acr_values": values.words(ONE_FACTOR, "0", "1"),
    "agreed": values.words("1", "2"),
    "answer": st.sampled_from(["allow", "deny", "ALLOW", "maybe"]),
    "challenge": values.tokens("csrf"),
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
    "grant": values.tokens("grant", "consent"),
    "credential": values.json_bombs(),
    "csrf_token": values.tokens("csrf"),
    "cursor": values.numbers(),
    "days": values.numbers(),
    "display": st.sampled_from(["page", "popup", "touch", "wap", "tv"]),
    "done": st.sampled_from(["withdrawn", "signed-out", "x"]),
    "everywhere": st.sampled_from(["true", "false", "TRUE", "1"]),
    "email": st.sampled_from(
        ["a@example.com", "a@", "@", "a@b@c", "é@é.example", "a" * 400 + "@example.com"]
    ),
    "grant_type": st.sampled_from(
        [
            "authorization_code",
            "refresh_token",
            "client_credentials",
            "password",
            "implicit",
            "urn:x:y",
            "urn:ietf:params:oauth:grant-type:device_code",
            "urn:ietf:params:oauth:grant-type:jwt-bearer",
        ]
    ),
    "groups": values.words("a", "b"),
    "id_token_hint": values.tokens("id_token", "access"),
    "kind": st.sampled_from(["totp", "phone", "passkey", "PASSKEY"]),
    "language": st.sampled_from(["de", "ar", "en", "xx", "de-CH", "d" * 9000]),
    "limit": values.numbers(),
    "login": st.sampled_from([USERNAME, "nobody", "nobody@example.com"]),
    "login_hint": st.sampled_from([USERNAME, "alice@example.com", "ALICE@EXAMPLE.COM"]),
    "logout_hint": st.sampled_from([USERNAME]),
    "max_age": values.numbers(),
    "number": st.sampled_from(["+491700000001", "0170", "+" + "1" * 39, "٤٩"]),
    "nonce": st.sampled_from(["n", "n" * 384]),
    "password": st.sampled_from([PASSWORD, "wrong", "p" * 1025, "\ud7ff" * 400]),
    "post_logout_redirect_uri": values.uris(REGISTERED),
    "profile-locale": values.words("en", "de"),
    "profile-name": st.sampled_from(["Alice", "x" * 2001]),
    "proof": values.numbers(),
    "prompt": values.words(*PROMPT_VALUES, "create"),
    "redirect_uri": values.uris(REGISTERED),
    "refresh_token": values.tokens("refresh", "code"),
    "authorization_details": values.json_bombs(),
    "dpop_jkt": st.sampled_from(["j" * 43, "j" * 44, "é" * 43]),
    "registration": values.json_bombs(),
    "request": values.tokens("id_token"),
    "request_uri": values.uris(REGISTERED),
    "resource": values.uris((API, OPAQUE_API, "https://nobody.example")),
    "response_mode": st.sampled_from(
        ["query", "form_post", "fragment", "jwt", "form_post.jwt", "form_post "]
    ),
    "response_type": st.sampled_from(["code", "token", "id_token", "code id_token", "none", "Code"]),
    "return_to": st.sampled_from(
        ["/sign-in", "//elsewhere.example", "/\\elsewhere.example", "https://x", "/\r\nX: y"]
    ),
    "roles": values.words("admin"),
    "scope": values.words(*SCOPE_WORDS),
    "session": st.sampled_from(["0" * 36, "s" * 300]),
    "state": st.sampled_from(
        ["s", "s" * 128, "s" * 2049, values.MARK + "\r\nX: y", values.MARK + "<i>&a=b#c"]
    ),
    "step": st.sampled_from(["sign-in", "consent", "switch", "cancel", "return", "withdraw", "x"]),
    "token": values.tokens("access", "opaque", "refresh", "id_token", "code"),
    "token_type_hint": st.sampled_from(["access_token", "refresh_token", "id_token"]),
    "ui_locales": values.words("en", "de-DE", "se"),
    "actor_token": values.tokens("access", "opaque", "id_token"),
    "actor_token_type": _TOKEN_TYPES,
    "assertion": values.tokens("id_token", "access"),
    "auth_session": values.tokens("auth_session", "code"),
    "begin": st.sampled_from(["email", "sms", "passkey", "BEGIN"]),
    "device": values.tokens("csrf", "access"),
    "email_code": st.sampled_from(["000000", "٠٠٠٠٠٠", "0" * 3000]),
    "passkey": values.json_bombs(),
    "recovery_code": st.sampled_from(["AAAA-AAAA-AAAA", "aaaa", "É" * 900]),
    "sms_code": st.sampled_from(["000000", "-1", "0" * 3000]),
    "totp": st.sampled_from(["000000", "٠٠٠٠٠٠", "1e5", "0" * 3000]),
    "audience": values.uris((API, OPAQUE_API, "https://nobody.example")),
    "requested_token_type": _TOKEN_TYPES,
    "subject_token": values.tokens("access", "opaque", "refresh", "id_token", "code"),
    "subject_token_type": _TOKEN_TYPES,
    "application_type": st.sampled_from(["web", "native", "desktop"]),
    "authorization_details_types": values.json_bombs(),
    "client_name": st.sampled_from(["A client", "n" * 201, values.MARK + "<i>"]),
    "contacts": values.json_bombs(),
    "grant_types": st.sampled_from(
        ['["authorization_code"]', '["implicit"]', "[]", '["x"]', "[[]]", '[""]', "x"]
    ),
    "id_token_signed_response_alg": st.sampled_from(["RS256", "ES256", "none", "HS256"]),
    "initiate_login_uri": values.uris(REGISTERED),
    "jwks": values.json_bombs(),
    "jwks_uri": values.uris(REGISTERED),
    "logo_uri": values.uris(REGISTERED),
    "redirect_uris": st.sampled_from(
        [
            f'["{REDIRECT_URI}"]',
            '["http://127.0.0.1/cb"]',
            '["x"]',
            "[]",
            "[1]",
            '["https://[::1/"]',
            "{}",
            "x",
        ]
    ),
    "request_uris": st.sampled_from([f'["{REDIRECT_URI}#x"]', '["x"]', "[1]", "{}", '["https://[::1/"]']),
    "response_types": st.sampled_from(
        ['["code"]', '["id_token token"]', '["code code"]', "[]", '[""]', "[{}]", "x"]
    ),
    "software_statement": values.tokens("id_token", "access"),
    "subject_type": st.sampled_from(["public", "pairwise", "private"]),
    "token_endpoint_auth_method": st.sampled_from(
        ["none", "client_secret_basic", "client_secret_jwt", "private_key_jwt", "tls_client_auth", "x"]
    ),
    "user_code": st.sampled_from(["WDJB-MJHT", "wdjbmjht", "AAAA-AAAA", "é" * 8, "x" * 900]),
    "device_code": st.sampled_from(["d" * 43, "d" * 900, "é"]),
    "way": st.sampled_from(["totp", "sms", "email", "passkey", "password", "recovery", "x"]),
    "username": st.sampled_from([USERNAME, "alice@example.com", "nobody", "İ" * 50, "u" * 300]),
}
"""What is particular to each parameter; `values.hostile()` goes for all of them."""

AUTHORIZATION = tuple(
    """client_id redirect_uri response_type scope state nonce response_mode code_challenge code_challenge_method prompt
    max_age acr_values login_hint id_token_hint ui_locales claims_locales claims display resource request request_uri
    registration authorization_details dpop_jkt""".split()
)
METADATA = tuple(
    """redirect_uris grant_types response_types token_endpoint_auth_method jwks jwks_uri logo_uri client_name
    application_type subject_type initiate_login_uri software_statement id_token_signed_response_alg request_uris scope
    contacts authorization_details_types""".split()
)
CLIENT = ("client_id", "client_secret", "client_assertion", "client_assertion_type")
CHALLENGES = (
    "username",
    "password",
    "totp",
    "recovery_code",
    "email_code",
    "sms_code",
    "passkey",
    "begin",
    "device",
)
PAGE_FORM = ("csrf_token", "step")


@dataclass(frozen=True)
class Setting:
    """What a request stands on: the last parts of its path, its cookies, and form values made for it alone."""

    segments: tuple[str, ...] = ()
    cookies: str = ""
    form: Mapping[str, str] = field(default_factory=dict)
    bearer: str = ""
    """A token of its own, where it has one."""


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
    json_body: bool = False
    """Whether the parameters are sent as members of a JSON object."""
    setting: Callable[[World], Setting] = lambda world: Setting()
    above_tenants: bool = False
    """Whether the path is the deployment's rather than a tenant's."""
    status: int = 0
    """Of the answer to the good request, where it is none of success: what it is about is nobody's."""
    share: int = 1
    """How many times the least number of requests it gets."""


def _signed_in(world: World) -> Setting:
    return Setting(cookies=world.session_cookie())


def _interaction(**changes: str) -> Callable[[World], Setting]:
    def make(world: World) -> Setting:
        found, cookies, token = world.interaction(**changes)
        return Setting((found,), cookies, {"csrf_token": token})

    return make


def _initial_token(world: World) -> Setting:
    return Setting(bearer=world.value(Fresh("registration_token")))


def _registered_client(world: World) -> Setting:
    client_id, token = world.registered_client()
    return Setting((client_id,), "", {"client_id": client_id}, token)


def _admin_link(world: World) -> Setting:
    link, token = world.admin_link()
    return Setting((link,), "", {"csrf_token": token})


def _link(purpose: str) -> Callable[[World], Setting]:
    def make(world: World) -> Setting:
        token, csrf = world.one_time_link(purpose)
        return Setting((token,), "", {"csrf_token": csrf})

    return make


def _leaver(world: World) -> Setting:
    """Somebody who is signed in and means it; the others' person stays."""
    cookie, csrf, username = world.leaver()
    return Setting((), cookie, {"csrf_token": csrf, "username": username})


def _logout_handle(world: World) -> Setting:
    return Setting((world.value(Fresh("logout")),), world.session_cookie())


def _other_session(world: World) -> Setting:
    return Setting((world.other_session(),))


def _consent(world: World) -> Setting:
    return Setting((world.value(Fresh("consent")),))


def _lasting_grant(world: World) -> Setting:
    return Setting((world.value(Fresh("grant")),))


def _nobodys(world: World) -> Setting:
    return Setting(("01900000-0000-7000-8000-000000000000",))


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
        "par",
        ("POST",),
        "/par",
        (*AUTHORIZATION, *CLIENT[1:]),
        {**_ASKED, "client_id": "server"},
        basic=True,
        share=4,
    ),
    Target(
        "token",
        ("POST",),
        "/token",
        (
            "grant_type",
            "code",
            "redirect_uri",
            "code_verifier",
            "refresh_token",
            "scope",
            "resource",
            "authorization_details",
            *CLIENT,
        ),
        {"grant_type": "authorization_code", "code": Fresh("code"), "redirect_uri": REDIRECT_URI},
        basic=True,
        share=3,
    ),
    Target(
        "token",
        ("POST",),
        "/token",
        ("grant_type", "refresh_token", "scope", "resource", "authorization_details", *CLIENT),
        {"grant_type": "refresh_token", "refresh_token": Fresh("refresh")},
        basic=True,
        share=2,
    ),
    Target(
        "authorization_challenge",
        ("POST",),
        "/authorization_challenge",
        (*AUTHORIZATION, *CLIENT[1:], "auth_session", *CHALLENGES),
        {**_ASKED, "client_id": "native", "redirect_uri": "", "username": USERNAME, "password": PASSWORD},
        status=403,
        share=4,
    ),
    Target(
        "authorization_challenge",
        ("POST",),
        "/authorization_challenge",
        ("client_id", "auth_session", *CHALLENGES),
        {
            "client_id": "native",
            "auth_session": Fresh("auth_session"),
            "username": USERNAME,
            "password": PASSWORD,
        },
        status=403,
        share=4,
    ),
    Target(
        "device_authorization",
        ("POST",),
        "/device_authorization",
        (
            "scope",
            "resource",
            "claims",
            "max_age",
            "acr_values",
            "id_token_hint",
            "authorization_details",
            "request",
            *CLIENT,
        ),
        {"scope": "openid read"},
        basic=True,
        share=2,
    ),
    Target(
        "token",
        ("POST",),
        "/token",
        (
            "grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type",
            "requested_token_type", "scope", "resource", "audience", "authorization_details", "device_code",
            "assertion", *CLIENT,
        ),
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": Fresh("access"),
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        },
        basic=True,
        share=3,
    ),
    Target(
        "client_registration",
        ("POST",),
        "/register",
        METADATA,
        {"redirect_uris": f'["{REDIRECT_URI}"]', "client_name": "A client"},
        json_body=True,
        setting=_initial_token,
        share=4,
    ),
    Target(
        "client_configuration", ("GET", "HEAD", "DELETE"), "/clients/{}", setting=_registered_client, share=2
    ),
    Target(
        "client_configuration",
        ("PUT",),
        "/clients/{}",
        (*METADATA, "client_id", "client_secret"),
        {"client_id": "", "redirect_uris": f'["{REDIRECT_URI}"]'},
        json_body=True,
        setting=_registered_client,
        share=3,
    ),
    Target("device", ("GET",), "/device", ("user_code",), setting=_signed_in),
    Target("device_done", ("GET",), "/device/done", setting=_signed_in),
    Target("device_refused", ("GET",), "/device/refused"),
    Target("device_qr", ("GET",), "/device/qr.svg", ("user_code",), {"user_code": "WDJB-MJHT"}),
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
    Target("account_data", ("GET",), "/account/data", setting=_signed_in),
    Target(
        "account_data_step", ("POST",), "/account/data", PAGE_FORM, {"csrf_token": Fresh("csrf")}, setting=_signed_in
    ),
    Target("account_sessions", ("GET",), "/account/sessions", ("done",), setting=_signed_in),
    Target(
        "account_sessions_step",
        ("POST",),
        "/account/sessions",
        ("session", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "step": "end-others"},
        setting=_signed_in,
    ),
    Target(
        "account_sessions_step",
        ("POST",),
        "/account/sessions",
        ("session", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "step": "end-all"},
        setting=_signed_in,
    ),
    Target("account_factors", ("GET",), "/account/factors", ("done",), setting=_signed_in),
    Target(
        "account_factors_step",
        ("POST",),
        "/account/factors",
        ("target", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "step": "remove"},
        setting=_signed_in,
        status=404,
    ),
    Target("account_factors_totp", ("GET",), "/account/factors/totp", setting=_signed_in),
    # This deployment sends no text messages, and the tenant has neither related origins nor the passkey that is named.
    Target("account_factors_sms", ("GET",), "/account/factors/sms", setting=_signed_in, status=404),
    Target("account_factors_recovery_codes", ("GET",), "/account/factors/recovery-codes", setting=_signed_in),
    Target("account_trusted_devices", ("GET",), "/account/factors/trusted-devices", ("done",), setting=_signed_in),
    Target(
        "account_trusted_devices_step",
        ("POST",),
        "/account/factors/trusted-devices",
        ("target", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "step": "forget-all"},
        setting=_signed_in,
    ),
    Target(
        "account_switch",
        ("POST",),
        "/account/switch",
        ("session", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "step": "switch"},
        setting=_signed_in,
    ),
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
    Target(
        "account_applications_step",
        ("POST",),
        "/account/applications",
        ("grant", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "grant": Fresh("grant"), "step": "withdraw"},
        setting=_signed_in,
    ),
    Target("sign_in_link", ("GET",), "/interaction/{}/email/anything", setting=_interaction()),
    Target(
        "interaction_step",
        ("POST",),
        "/interaction/{}",
        ("way", "username", "code", "link", *PAGE_FORM),
        {"step": "email"},
        setting=_interaction(prompt="login"),
    ),
    Target("interaction", ("GET",), "/interaction/{}", setting=_interaction()),
    Target(
        "interaction_step",
        ("POST",),
        "/interaction/{}",
        ("account", *PAGE_FORM),
        {"step": "choose", "account": "another"},
        setting=_interaction(prompt="select_account"),
    ),
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
    Target(
        "interaction_step",
        ("POST",),
        "/interaction/{}",
        ("way", "answer", "code", "name", "number", *PAGE_FORM),
        {"step": "enrol", "way": "totp"},
        setting=_interaction(acr_values="urn:watchword:acr:two-factor"),
    ),
    Target(
        "interaction_step",
        ("POST",),
        "/interaction/{}",
        ("way", "send", "code", "password", "trust", *PAGE_FORM),
        {"step": "factor", "way": "totp"},
        setting=_interaction(acr_values="urn:watchword:acr:two-factor"),
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
        {"language": "de", "return_to": "/sign-in"},
        setting=lambda world: Setting(form={"csrf_token": world.form_token("language")}),
    ),
    Target("brand_css", ("GET",), "/brand.css", ("v",)),
    Target("brand_picture", ("GET",), "/brand/{}", ("v",), setting=lambda world: Setting(("logo",))),
    Target("client_logo", ("GET",), "/client-logo", ("client_id", "v"), {"client_id": APP}),
    Target("brand_preview", ("GET",), "/brand-preview/{}", setting=lambda world: Setting((world.brand_preview(),))),
    Target(
        "brand_preview_part",
        ("GET",),
        "/brand-preview/{}/{}",
        setting=lambda world: Setting((world.brand_preview(), "logo")),
    ),
    Target("mailbox_html", ("GET",), "/dev/mailbox/{}", setting=lambda world: Setting((world.message_id,))),
    Target("register", ("GET",), "/register"),
    Target("register_address", ("GET",), "/interaction/{}/register", ("sent",), setting=_interaction()),
    Target(
        "register_address_step",
        ("POST",),
        "/interaction/{}/register",
        ("email", "challenge", "proof", *PAGE_FORM),
        {"email": "new@example.com"},
        setting=_interaction(),
    ),
    Target("registration", ("GET",), "/register/{}", setting=_link("registration")),
    Target(
        "registration_step",
        ("POST",),
        "/register/{}",
        ("username", "password", "way", "agreed", "profile-name", *PAGE_FORM),
        {"username": Fresh("name"), "password": "long enough for everybody"},
        setting=_link("registration"),
    ),
    Target("invitation", ("GET",), "/invitation/{}", setting=_link("invitation")),
    Target(
        "invitation_step",
        ("POST",),
        "/invitation/{}",
        ("username", "password", "way", "agreed", "profile-name", *PAGE_FORM),
        {"username": Fresh("name"), "password": "long enough for everybody"},
        setting=_link("invitation"),
    ),
    Target("forgot", ("GET",), "/forgot"),
    Target("forgot_login", ("GET",), "/interaction/{}/forgot", ("sent",), setting=_interaction()),
    Target(
        "forgot_login_step",
        ("POST",),
        "/interaction/{}/forgot",
        ("login", *PAGE_FORM),
        {"login": "nobody"},
        setting=_interaction(),
    ),
    Target("password_set", ("GET",), "/password-set"),
    *(
        target
        for name, purpose in (("reset", "reset_password"), ("recover", "recover"))
        for target in (
            Target(name, ("GET",), f"/{name}/{{}}", setting=_link(purpose)),
            Target(
                f"{name}_step",
                ("POST",),
                f"/{name}/{{}}",
                ("password", *PAGE_FORM),
                {"password": Fresh("name")},
                setting=_link(purpose),
            ),
        )
    ),
    *(
        target
        for action, purpose in (("confirm", "verify_email"), ("change", "change_email"), ("undo", "undo_email"))
        for target in (
            Target("email_link", ("GET",), f"/email/{action}/{{}}", setting=_link(purpose)),
            Target("email_link_step", ("POST",), f"/email/{action}/{{}}", PAGE_FORM, setting=_link(purpose)),
        )
    ),
    Target("account_profile", ("GET",), "/account/profile", ("saved",), setting=_signed_in),
    Target(
        "account_profile_step",
        ("POST",),
        "/account/profile",
        ("profile-name", "profile-locale", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "profile-name": "Alice"},
        setting=_signed_in,
    ),
    Target("account_factors_passkey", ("GET",), "/account/factors/passkey", setting=_signed_in),
    Target("webauthn", ("GET",), "/.well-known/webauthn", status=404),
    Target("change_password_address", ("GET",), "/.well-known/change-password", status=303),
    Target("account_passkeys", ("GET",), "/account/passkeys", ("done",), setting=_signed_in),
    Target(
        "account_passkeys_step",
        ("POST",),
        "/account/passkeys",
        ("target", "name", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "step": "remove", "target": ""},
        setting=_signed_in,
        status=404,
    ),
    Target("account_password", ("GET",), "/account/password", ("done",), setting=_signed_in),
    Target(
        "account_password_step",
        ("POST",),
        "/account/password",
        ("current", "password", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "current": "wrong", "password": "short"},
        setting=_signed_in,
    ),
    Target("account_email", ("GET",), "/account/email", ("sent",), setting=_signed_in),
    Target(
        "account_email_step",
        ("POST",),
        "/account/email",
        ("email", *PAGE_FORM),
        {"csrf_token": Fresh("csrf"), "email": "new@example.com"},
        setting=_signed_in,
    ),
    Target("account_leave", ("GET",), "/account/delete", setting=_signed_in),
    Target(
        "account_leave_step",
        ("POST",),
        "/account/delete",
        ("username", *PAGE_FORM),
        {"csrf_token": "", "username": ""},
        setting=_leaver,
    ),
    Target(
        "api.registration_tokens", ("GET",), "/api/v1/registration-tokens", ("cursor", "limit"), bearer=True
    ),
    Target(
        "api.create_registration_token",
        ("POST",),
        "/api/v1/registration-tokens",
        ("name", "max_uses", "days"),
        {"name": "Partner"},
        bearer=True,
        json_body=True,
    ),
    Target(
        "api.revoke_registration_token",
        ("DELETE",),
        "/api/v1/registration-tokens/{}",
        bearer=True,
        setting=lambda world: Setting((world.registration_token()[0],)),
    ),
    Target("api.invitations", ("GET",), "/api/v1/invitations", ("cursor", "limit"), bearer=True),
    Target(
        "api.invite",
        ("POST",),
        "/api/v1/invitations",
        ("email", "roles", "groups", "days"),
        {"email": Fresh("address")},
        bearer=True,
        json_body=True,
    ),
    Target(
        "api.revoke_invitation",
        ("DELETE",),
        "/api/v1/invitations/{}",
        bearer=True,
        setting=lambda world: Setting((world.invitation_id(),)),
    ),
    *(
        Target(
            f"api.{action}_user",
            ("POST",),
            f"/api/v1/users/{{}}/{path}",
            bearer=True,
            setting=lambda world: Setting((world.somebody(),)),
        )
        for action, path in (
            ("disable", "disable"),
            ("enable", "enable"),
            ("sign_out", "sign-out"),
            ("unlock", "unlock"),
            ("demand_password_of", "demand-password"),
            ("recover", "recovery"),
        )
    ),
    Target("static", ("GET",), "/static/{}", ("v",), setting=lambda world: Setting(("watchword.css",))),
    Target("api.openapi", ("GET",), "/api/v1/openapi.json"),
    Target("api.me", ("GET",), "/api/v1/me", bearer=True),
    Target("api.my_profile", ("GET",), "/api/v1/me/profile", bearer=True),
    Target(
        "api.change_my_profile",
        ("PATCH",),
        "/api/v1/me/profile",
        ("attributes",),
        {"attributes": '{"name": "Al"}'},
        bearer=True,
        json_body=True,
    ),
    Target("api.my_factors", ("GET",), "/api/v1/me/factors", bearer=True),
    Target(
        "api.begin_my_factor",
        ("POST",),
        "/api/v1/me/factors",
        ("kind", "number"),
        {"kind": "totp"},
        bearer=True,
        json_body=True,
    ),
    Target(
        "api.confirm_my_factor",
        ("POST",),
        "/api/v1/me/factors/{}/confirmation",
        ("code", "credential", "name"),
        {"code": "000000"},
        bearer=True,
        json_body=True,
        setting=_nobodys,
        status=404,
    ),
    Target(
        "api.rename_my_factor",
        ("PATCH",),
        "/api/v1/me/factors/{}",
        ("name",),
        {"name": "Phone"},
        bearer=True,
        json_body=True,
        setting=_nobodys,
        status=404,
    ),
    Target("api.remove_my_factor", ("DELETE",), "/api/v1/me/factors/{}", bearer=True, setting=_nobodys, status=404),
    Target("api.my_recovery_codes", ("GET",), "/api/v1/me/recovery-codes", bearer=True),
    Target("api.new_recovery_codes", ("POST",), "/api/v1/me/recovery-codes", bearer=True, status=409),
    Target("api.my_sessions", ("GET",), "/api/v1/me/sessions", bearer=True),
    Target("api.end_my_session", ("DELETE",), "/api/v1/me/sessions/{}", bearer=True, setting=_other_session),
    Target("api.end_my_other_sessions", ("DELETE",), "/api/v1/me/sessions", ("everywhere",), bearer=True),
    Target("api.my_grants", ("GET",), "/api/v1/me/grants", bearer=True),
    Target("api.withdraw_my_grant", ("DELETE",), "/api/v1/me/grants/{}", bearer=True, setting=_consent),
    Target("api.withdraw_my_grant", ("DELETE",), "/api/v1/me/grants/{}", bearer=True, setting=_lasting_grant),
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
