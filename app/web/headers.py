"""Headers every answer of the edge carries, made once per deployment."""

from app.web.endpoints import Endpoint

Headers = tuple[tuple[str, str], ...]

CORS_HEADERS: Headers = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "DPoP-Nonce, WWW-Authenticate"),
)
"""Any origin, never with credentials: what these endpoints ask for is in the request itself (contracts 22)."""

PLAIN_TEXT: Headers = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))

HSTS_SECONDS = 31_536_000
PREFLIGHT_SECONDS = 86_400


def security(*, https: bool) -> Headers:
    """What holds for every answer that is not a page: it is never guessed at, framed, or sent along as a referrer."""
    always = (
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ("Referrer-Policy", "no-referrer"),
    )
    hsts = (("Strict-Transport-Security", f"max-age={HSTS_SECONDS}"),)
    return always + hsts if https else always


def preflight(endpoint: Endpoint) -> Headers:
    """The answer to a CORS preflight (Fetch standard, section 3.2.2)."""
    return (
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Methods", ", ".join(endpoint.methods)),
        ("Access-Control-Allow-Headers", "authorization, content-type, dpop, mcp-protocol-version"),
        ("Access-Control-Max-Age", str(PREFLIGHT_SECONDS)),
    )
