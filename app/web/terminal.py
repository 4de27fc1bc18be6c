"""Where somebody sits while they show who they are: a browser, known by its cookies, or an application that asks on
their behalf and says by itself what a browser's cookies would."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.domain.sessions import BrowserSession
from app.domain.tenants import TenantContext
from app.protocols.login.devices import Device, Devices
from app.protocols.login.factors.outcome import Origin
from app.web import browser, pages


@dataclass(frozen=True, slots=True)
class Terminal:
    """What is known of it before anybody showed anything."""

    origin: Origin
    device: Device
    """A new one where nobody signed in yet."""
    sessions: Callable[[], Sequence[BrowserSession]]
    """Of those who are signed in there, the one at work first. Costs a look."""


def of_browser(where: TenantContext, client_id: str | None = None) -> Terminal:
    """The browser of the current request; `client_id` is whom it asks for."""
    device = Devices(pages.services().vault).open(where.id, pages.cookies().read(where, "device"))
    return Terminal(
        pages.origin(client_id), device, lambda: [account.session for account in browser.accounts(where)]
    )
