"""One site for all browser tests; every test has a profile of its own."""

import contextlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.site import Site
from tests.conftest import PRODUCTION, database_urls
from tests.servers import PostgresServer, RedisServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks back at the pages that were shown goes after the tests that show them."""
    items.sort(key=lambda item: item.get_closest_marker("afterwards") is not None)


# A browser's proof of work, for one, takes its time on a machine that has much else to do.
expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def site(
    request: pytest.FixtureRequest, storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A running deployment, on the storage of the run."""
    with contextlib.ExitStack() as stack:
        urls: dict[str, str] = {}
        if storage == PRODUCTION:
            postgres: PostgresServer = request.getfixturevalue("postgres_server")
            urls = database_urls(postgres, stack.enter_context(postgres.database()))
            urls["redis_url"] = stack.enter_context(RedisServer()).url
        yield stack.enter_context(Site(tmp_path_factory.mktemp("site"), **urls))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh profile."""
    found = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    found.set_default_timeout(10_000)
    yield found
    found.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """A tab of it."""
    return context.new_page()
