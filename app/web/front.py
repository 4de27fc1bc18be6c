"""The edge of a deployment, put together from its parts."""

from app.protocols.oauth import server
from app.protocols.oauth.server import GRANT_TYPES
from app.web.context import Locator
from app.web.edge import Edge, WsgiApp
from app.web.observer import RequestObserver
from app.web.services import Services
from app.web.wellknown import WellKnown


def front(inner: WsgiApp, services: Services) -> Edge:
    """The WSGI application that stands before `inner` (contracts 9)."""
    known = WellKnown(services.cache, services.keyring, GRANT_TYPES)
    handlers = server.build(
        tenancy=services.tenancy,
        state=services.state,
        clients=services.clients,
        resources=services.resources,
        keyring=services.keyring,
        refresh_tokens=services.refresh_tokens,
        revocations=services.revocations,
        client_secrets=services.client_secrets,
        fetcher=services.fetcher,
    )
    return Edge(
        inner,
        settings=services.settings,
        locator=Locator(services.tenants, services.settings.base_url),
        handlers={
            **handlers,
            "openid_configuration": known.openid_configuration,
            "oauth_metadata": known.oauth_metadata,
            "jwks": known.jwks,
        },
        observe=RequestObserver(services.settings.log_level),
    )
