"""The Third-Party-Initiated Login plan of the certification programme (OpenID Connect Core section 4)."""

from tests.profiles.dynamic import DynamicProvider, dynamic_providers, new_key, op, public
from tests.profiles.relying_party import check_error

__all__ = ["dynamic_providers", "op"]

LOGIN = "https://rp.example.com/initiate"


def test_oidcc_3rdparty_init_login(op: DynamicProvider) -> None:
    """initiate_login_uri comes back in the answer, and where the client reads its registration."""
    with op.client(initiate_login_uri=LOGIN) as party:
        assert party.told["initiate_login_uri"] == LOGIN
        answer = party.configuration()
        assert answer.status_code == 200
        assert answer.mimetype == "application/json"
        assert answer.json["initiate_login_uri"] == LOGIN
        assert answer.json["client_id"] == party.client_id


def test_oidcc_3rdparty_init_login_nohttps(op: DynamicProvider) -> None:
    """One that is not https is refused."""
    answer = op.ask(initiate_login_uri=LOGIN.replace("https:", "http:"), jwks=public(new_key()))
    check_error(answer, "invalid_client_metadata")
