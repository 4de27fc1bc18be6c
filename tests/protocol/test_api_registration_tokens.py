"""Initial access tokens by the API: made, shown once, listed, taken back."""

import pytest

from app.domain import tenants
from app.infra.tenancy import SystemReason
from tests.protocol.test_api import Api, api, problem

__all__ = ["api"]

PATH = "/registration-tokens"


def let_clients_register(api: Api) -> None:
    with api.services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = tenants.find(session, api.tenant.slug)
        assert row is not None
        tenants.update_settings(row, {"registration": {"clients": "token"}})
    api.services.versions.touch()


def test_a_token_is_made_used_listed_and_taken_back(api: Api) -> None:
    let_clients_register(api)
    made = api.call(PATH, method="POST", json={"name": "Partner", "max_uses": 2, "days": 3})
    assert made.status_code == 201
    token_id, token = made.json["id"], made.json["token"]
    said, headers = {"redirect_uris": ["https://rp.example/cb"]}, {"Authorization": f"Bearer {token}"}
    assert api.side.http.post("/register", json=said, headers=headers).status_code == 201
    (listed,) = [each for each in api.call(PATH).json["registration_tokens"] if each["id"] == token_id]
    assert (listed["name"], listed["uses"], listed["max_uses"]) == ("Partner", 1, 2)
    assert listed["created_by"] is not None
    assert "token" not in listed
    assert api.call(f"{PATH}/{token_id}", method="DELETE").json["revoked_at"] is not None
    assert api.side.http.post("/register", json=said, headers=headers).status_code == 401


def test_pages_of_tokens(api: Api) -> None:
    for _ in range(3):
        assert api.call(PATH, method="POST", json={}).status_code == 201
    first = api.call(f"{PATH}?limit=2").json
    rest = api.call(f"{PATH}?limit=100&cursor={first['next_cursor']}").json
    ids = [each["id"] for page in (first, rest) for each in page["registration_tokens"]]
    assert len(ids) == len(set(ids)) >= 3
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("body", [{"days": 0}, {"max_uses": 0}, {"name": "n" * 201}, {"shoe": 1}])
def test_tokens_that_cannot_be(api: Api, body: dict[str, object]) -> None:
    problem(api.call(PATH, method="POST", json=body), 400, "request.invalid")


def test_names_are_printable(api: Api) -> None:
    problem(api.call(PATH, method="POST", json={"name": "a\nb"}), 400, "registration.token_invalid")
