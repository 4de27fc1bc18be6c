"""Every parameter of every endpoint, page and API route, with values no honest client sends.

Never a fault, never a header made of the request, never a redirect to an address nobody registered, never markup of
the request in a page. The seeds are fixed; a failure prints the request. The long form is `scripts/fuzz.py`.
"""

import itertools
import logging
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.web import page_forms
from app.web.api.catalogue import ENDPOINTS as API_ENDPOINTS
from app.web.api.protocol import _FORMS
from app.web.endpoints import ENDPOINTS
from app.web.page_forms import PageForm
from app.web.services import Services
from tests.fuzz import gun
from tests.fuzz.shots import Shot, shots
from tests.fuzz.targets import PARAMETERS, TARGETS, Target
from tests.fuzz.values import MARK, Value
from tests.fuzz.world import World

LEAST = 40
"""Requests to a target with a share of one."""
NOT_REGISTERED = {"health.live", "health.ready", "metrics", "nowhere"}
"""Answered before the registry and Flask, or by nobody."""


@pytest.fixture(scope="module")
def world(_shared_services: Services) -> Iterator[World]:
    """A tenant to shoot at."""
    access = logging.getLogger("watchword")
    level = access.level
    access.setLevel(logging.ERROR)
    yield World(_shared_services)
    access.setLevel(level)


def test_every_route_has_a_target(world: World) -> None:
    """A new endpoint, page or API route without a row in `TARGETS` fails here."""
    routes = {rule.endpoint for rule in world.app.url_map.iter_rules()}
    registered = {endpoint.name for endpoint in ENDPOINTS}
    assert {target.name for target in TARGETS} - NOT_REGISTERED == routes | registered


def test_every_parameter_has_a_strategy(world: World) -> None:
    """Those of the published description, of the pages' forms, and of the API's queries."""
    covered = {(target.name, name) for target in TARGETS for name in target.parameters}
    published = {(endpoint, name) for endpoint, (names, _) in _FORMS.items() for name in names}
    queries = {(f"api.{row.name}", name) for row in API_ENDPOINTS for name in row.query.model_fields}
    assert published | queries <= covered
    with world.app.test_request_context():
        forms = [
            kind
            for kind in vars(page_forms).values()
            if isinstance(kind, type) and issubclass(kind, PageForm)
        ]
        fields = {name for kind in forms for name in kind(meta={"csrf_context": ""})._fields}
    assert fields <= set(PARAMETERS)
    assert fields <= {name for _, name in covered}


def test_every_target_is_reached(world: World) -> None:
    """The good request of each target gets past everything that is checked before its parameters."""
    world = World(world.services)  # where nothing was retried, used up or taken back yet
    for target in TARGETS:
        world.forget()
        first = Shot(
            target,
            target.methods[0],
            _good(target),
            target.methods[0] not in ("POST", "PATCH", "PUT"),
            (None,) * target.path.count("{}"),
        )
        answer = gun.send(world, first)
        gun.check(world, first, answer)
        expected = (404,) if target.path == "/{}" else (200, 201, 202, 303)
        expected = (target.status,) if target.status else expected
        assert answer.status in expected, (target, answer)


def _good(target: Target) -> tuple[tuple[str, Value], ...]:
    own = {} if "csrf_token" not in target.parameters else {"csrf_token": ""}
    return tuple({**own, **target.good}.items())


_NAMES = [f"{target.name}-{n}" for n, target in zip(itertools.count(), TARGETS, strict=False)]


def test_the_look_for_markup_can_fail() -> None:
    """Each of the hostile endings, as a page would show it that does not escape."""
    for page in ("<b>{}<i>x", 'value="{}"onload=x"', "value='{}'x'", "<script>{}</script>"):
        assert gun.RAW_MARK.search(page.format(MARK))
    assert not gun.RAW_MARK.search(f'<b>{MARK}</b><input value="{MARK}">')


@pytest.mark.parametrize("target", TARGETS, ids=_NAMES)
def test_fuzz(world: World, target: Target) -> None:
    """A few dozen requests to each target; what always has to hold, holds."""

    @settings(
        max_examples=LEAST * target.share,
        derandomize=True,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def shoot(data: st.DataObject) -> None:
        shot = data.draw(shots(target))
        gun.check(world, shot, gun.send(world, shot))

    shoot()
