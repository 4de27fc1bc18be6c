"""What the third-party clients are registered as: one apply document, the same for every server and storage."""

from typing import Any

CALLBACK = "http://127.0.0.1:9999/cb"
SIGNED_OUT = "http://127.0.0.1:9999/signed-out"
SECRET = "k7Jr0uQ2m5vX8zB1nC4dF6hL9pS3tW0y"
USERNAME, PASSWORD = "alice", "correct-horse-battery"
RESOURCE = "https://api.example.com"
PROFILES = ("oauth2.1", "oidc-legacy")


def client_id(profile: str, method: str) -> str:
    """The id of the client of a profile that authenticates by a method."""
    return f"{profile.replace('.', '-')}-{method.replace('_', '-')}"


def document(*more: dict[str, Any]) -> dict[str, Any]:
    """People, a resource, a client for each profile and method, and more clients."""
    clients = [
        client(client_id(profile, method), profile, method, [CALLBACK])
        for profile in PROFILES
        for method in ("client_secret_basic", "client_secret_post")
    ]
    user = {
        "username": USERNAME,
        "password": PASSWORD,
        "email": "alice@example.com",
        "email_verified": True,
        "groups": ["engineering"],
        "claims": {"name": "Alice Adams", "locale": "en"},
    }
    resource = {
        "identifier": RESOURCE,
        "name": "Example API",
        "scopes": [{"name": "read", "description": "Read your documents"}],
        "access_token_format": "jwt",
    }
    tenant = {
        "slug": "default",
        "groups": [{"name": "engineering"}],
        "resources": [resource],
        "clients": [*clients, *more],
        "users": [user],
    }
    return {"tenants": [tenant]}


def client(name: str, profile: str, method: str, redirect_uris: list[str]) -> dict[str, Any]:
    """A client as the apply file describes it."""
    made = {
        "client_id": name,
        "client_name": name,
        "redirect_uris": redirect_uris,
        "post_logout_redirect_uris": [SIGNED_OUT, *redirect_uris],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": method,
        "scope": "openid profile email groups offline_access read",
        "profile": profile,
    }
    return made if method == "none" else made | {"client_secret": SECRET}
