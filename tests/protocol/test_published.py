"""What is published is answered again with the same bytes, and not a moment longer than it is true
(docs/decisions/0007-the-token-path.md)."""

from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select

from app.domain.models import Tenant
from app.infra import metrics
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.web.published import DOCUMENTS, MAX_ANSWERS
from app.web.wellknown import WellKnown
from tests.conftest import Http, new_tenant
from tests.protocol.token_side import TokenSide, side

__all__ = ["side"]

PATHS = tuple(DOCUMENTS)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows with every document the edge has made."""
    seen: list[str] = []
    for name in DOCUMENTS.values():
        make = getattr(WellKnown, name)

        def counting(self: WellKnown, request: Any, make: Any = make, name: str = name) -> Any:
            seen.append(name)
            return make(self, request)

        monkeypatch.setattr(WellKnown, name, counting)
    return seen


@pytest.fixture
def there(side: TokenSide, made: list[str]) -> Http:
    """A tenant with keys and one client of the application that was not asked for anything yet."""
    from app import create_app

    tenant = new_tenant(side.services)
    side.services.keyring.ensure(tenant.id)
    side.services.versions.touch()
    return Http(create_app(side.services.settings, services=side.services), tenant)


def _known(http: Http, path: str) -> Any:
    """Ask twice: what the first made may be outdated by what making it brought about."""
    http.get(path)
    return http.get(path)


@pytest.mark.parametrize("path", PATHS)
def test_it_is_the_same_but_for_the_request_id(there: Http, made: list[str], path: str) -> None:
    first = _known(there, path)
    made.clear()
    again = there.get(path)
    assert not made
    assert again.status_code == 200
    assert again.data == first.data
    ids = [answer.headers.pop("X-Request-Id") for answer in (first, again)]
    assert ids[0] != ids[1]
    assert list(again.headers) == list(first.headers)


@pytest.mark.parametrize("path", PATHS)
def test_who_has_it_is_told_so(there: Http, made: list[str], path: str) -> None:
    first = _known(there, path)
    made.clear()
    for tag in (first.headers["ETag"], f"W/{first.headers['ETag']}", f'"other", {first.headers["ETag"]}'):
        answer = there.get(path, headers={"If-None-Match": tag})
        assert (answer.status_code, answer.data) == (304, b"")
        assert answer.headers["ETag"] == first.headers["ETag"]
        assert "Content-Type" not in answer.headers
        assert "Content-Length" not in answer.headers
    assert len(made) == 2  # Only the plain form is answered without the edge.
    assert there.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_head_has_no_body(there: Http) -> None:
    length = _known(there, "/jwks").headers["Content-Length"]
    answer = there.request("HEAD", "/jwks")
    assert (answer.status_code, answer.data, answer.headers["Content-Length"]) == (200, b"", length)


def test_other_methods_are_refused(there: Http) -> None:
    _known(there, "/jwks")
    assert there.post("/jwks").status_code == 405


def test_a_withdrawn_key_is_gone_at_once(side: TokenSide, there: Http) -> None:
    kid = _known(there, "/jwks").json["keys"][0]["kid"]
    side.services.keyring.revoke(there.tenant.id, kid)
    assert kid not in {key["kid"] for key in there.get("/jwks").json["keys"]}


def test_a_disabled_tenant_is_gone_at_once(side: TokenSide, there: Http) -> None:
    _known(there, "/jwks")
    with side.services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
        row = session.scalar(select(Tenant).where(Tenant.id == there.tenant.id))
        assert row is not None
        row.disabled_at = clock.now()
    side.services.versions.touch()
    assert there.get("/jwks").status_code == 404


def test_another_host_is_not_answered(there: Http) -> None:
    _known(there, "/jwks")
    assert there.get("/jwks", headers={"Host": "elsewhere.example"}).status_code == 400


def test_it_is_counted(there: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    _known(there, "/jwks")
    before = _counted()
    tag = there.get("/jwks").headers["ETag"]
    there.get("/jwks", headers={"If-None-Match": tag})
    assert _counted() == {status: count + 1 for status, count in before.items()}


def _counted() -> dict[int, float]:
    metrics.settle()
    return {
        status: REGISTRY.get_sample_value(
            "watchword_requests_total", {"endpoint": "jwks", "status": str(status)}
        )
        or 0
        for status in (200, 304)
    }


def test_what_is_kept_is_bounded(there: Http) -> None:
    published = there.app.wsgi_app  # type: ignore[attr-defined]
    host = there.app.extensions["watchword"].settings.base_url.partition("://")[2]
    published._answers = {(f"{n}", "/jwks"): None for n in range(MAX_ANSWERS)}
    assert there.get("/jwks").status_code == 200
    assert set(published._answers) == {(host, there.tenant.path + "/jwks")}
