"""The last belt against secrets in logs and audit: what looks like one is blotted out.

Nobody may rely on it. Code does not pass secrets to a logger in the first place, and a test greps for them.
"""

import re

REDACTED = "[redacted]"

_SECRET_NAMES = (
    "password|passwd|secret|client_secret|client_assertion|assertion|token|access_token|refresh_token|id_token"
    "|id_token_hint|subject_token|actor_token|code|code_verifier|authorization|cookie|set-cookie|proxy-authorization"
    "|master_key|private_key|api_key|csrf_token|request_uri"
)
_SECRET_NAME = re.compile(rf"(?:{_SECRET_NAMES})\Z", re.IGNORECASE)
_SHAPES = re.compile(
    r"eyJ[\w-]{5,}\.[\w-]*\.[\w-]*(?:\.[\w-]*){0,2}"  # a JWT or JWE
    r"|(?<=://)[^/\s:@]*:[^/\s@]*(?=@)"  # user and password of a URL
    r"|(?i:(?<=bearer )|(?<=basic )|(?<=dpop ))[\w.~+/=-]{8,}"  # credentials of an Authorization header
    rf"|(?i:(?<![\w-])(?:{_SECRET_NAMES})=)[^&\s\"']+"  # a parameter of a query or form
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


def is_secret_name(name: str) -> bool:
    """Whether a value under this name is a secret by its name alone."""
    return _SECRET_NAME.match(name) is not None


def redact(text: str) -> str:
    """`text` with everything that looks like a credential blotted out. Other text is given back as it is."""
    return _SHAPES.sub(_blot, text) if may_hold_credential(text.lower()) else text


def may_hold_credential(text: str) -> bool:
    """Whether the costly search of a text, in lower case, is worth it. Spelled out: it is asked of every record."""
    return (
        "=" in text
        or "@" in text
        or "eyj" in text
        or "-----begin" in text
        or "bearer " in text
        or "basic " in text
        or "dpop " in text
    )


def _blot(found: re.Match[str]) -> str:
    name, equals, _ = found[0].partition("=")
    return f"{name}={REDACTED}" if equals and _SECRET_NAME.match(name) else REDACTED
