"""The Flask application, with the edge in front of it."""

from functools import partial

from flask import Flask

from app.kernel import paths
from app.protocols.oauth import metadata, refused, server
from app.web import api, pages
from app.web.challenge import ChallengedSignIn
from app.web.context import Locator, Proxies
from app.web.edge import Edge
from app.web.health import Probes
from app.web.observer import observer
from app.web.published import Published
from app.web.services import Services
from app.web.wellknown import WellKnown


def build(services: Services) -> Flask:
    """The application over these parts: `app.wsgi_app` is what is published, the probes, then the edge; the rest goes
    on to Flask."""
    app = Flask("app", template_folder=str(paths.TEMPLATES), static_folder=str(paths.STATIC))
    app.extensions["watchword"] = services
    app.json.sort_keys = False  # type: ignore[attr-defined]
    # Or a doubled slash would be answered by a redirect made of the request's own words.
    app.url_map.merge_slashes = False
    pages.register(app, services)
    api.register(app)
    locator = Locator(services.tenants, services.settings.base_url, services.settings.mtls_url)
    observe = observer(services.settings.log_level)
    edge = Edge(
        app.wsgi_app,
        settings=services.settings,
        locator=locator,
        handlers=_handlers(services, ChallengedSignIn(app)),
        observe=observe,
        record=partial(refused.record_unread, services.state),
        slots=services.page_slots,
    )
    published = Published(
        Probes(edge, services),
        version=services.versions.all_versions,
        locator=locator,
        proxies=Proxies(services.settings.trusted_proxies),
        observe=observe,
    )
    app.wsgi_app = published  # type: ignore[method-assign]
    return app


def _handlers(services: Services, sign_in: ChallengedSignIn) -> dict[str, server.Handler]:
    transport = metadata.Transport.of(services.settings)
    well_known = WellKnown(
        services.cache,
        services.keyring,
        partial(server.grant_types_of, services.trusted_issuers),
        transport,
        services.details_types,
        services.clients.any_challenging,
    )
    return {
        "openid_configuration": well_known.openid_configuration,
        "oauth_metadata": well_known.oauth_metadata,
        "jwks": well_known.jwks,
        **server.build(
            tenancy=services.tenancy,
            state=services.state,
            clients=services.clients,
            resources=services.resources,
            keyring=services.keyring,
            refresh_tokens=services.refresh_tokens,
            revocations=services.revocations,
            client_secrets=services.client_secrets,
            fetcher=services.fetcher,
            client_keys=services.client_keys,
            sender=services.sender,
            details_types=services.details_types,
            trusted_issuers=services.trusted_issuers,
            devices=services.devices,
            registered=services.registered_clients,
            pepper=services.deployment_secrets.pepper,
            on_change=services.versions.touch,
            tls_methods=transport.tls_methods,
            sign_in=sign_in,
        ),
    }
