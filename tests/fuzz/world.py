"""What has to be there for requests to get far: a tenant, people, clients, tokens, a signed-in browser."""

import dataclasses
import re
import secrets
from collections.abc import Callable
from typing import Any

from flask import Flask
from werkzeug.test import Client, TestResponse

from app.domain import (
    admin_links,
    branding,
    client_registration,
    clients,
    consents,
    grants,
    initial_tokens,
    invitations,
    one_time_links,
    tenants,
    users,
)
from app.domain.access import rbac
from app.domain.assurance import ONE_FACTOR
from app.domain.models import Consent, MailboxMessage
from app.domain.tenants import TenantContext
from app.infra import outbox
from app.infra.hashing.own import unmatchable as unmatchable_hash
from app.infra.outbox import DeliveryFailed
from app.infra.tenancy import SystemReason
from app.kernel import clock
from app.kernel.secrets import lookup_hash
from app.protocols.oauth.server import GRANT_TYPES
from app.web import account, brand_preview, links
from app.web.branding import DIGEST_CHARACTERS
from app.web.page_forms import make_token
from app.web.services import Services
from tests.conftest import Http, new_tenant
from tests.fuzz.values import Fresh, Kind, damaged
from tests.protocol import parties
from tests.protocol.native_app import NativeApp, new_app
from tests.protocol.parties import Code, Party

REDIRECT_URI = "https://app.example/cb"
LOOPBACK_URI = "http://127.0.0.1/cb"
SIGNED_OUT = "https://app.example/signed-out"
REGISTERED = (REDIRECT_URI, SIGNED_OUT, LOOPBACK_URI)
CLIENT_PAGE = "https://app.example/privacy"
APP = "app"
USERNAME, PASSWORD = "alice", "correct-horse-battery"
SCOPES = "openid profile email offline_access groups read write "
OURS = "watchword:read watchword:admin watchword:account:read watchword:account:write"
SCOPES += OURS
OPAQUE_API = "https://opaque.example.com"

REUSED = ("access", "opaque", "id_token")
USES = 15
"""How often a token is sent before a new one is made, though it may have been revoked by then."""
LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><rect width="1" height="1"/></svg>'
LOGO_URI = "https://app.example/logo.svg"


class World:
    """One tenant. `fresh` makes whatever a request uses up."""

    def __init__(self, services: Services) -> None:
        from app import create_app

        # Nobody measures here who is told apart by how long it takes.
        self.services = dataclasses.replace(services, sign_in_floor_seconds=0.0)
        self.app: Flask = create_app(services.settings, services=self.services)
        self.tenant: TenantContext = new_tenant(services)
        for identifier, scopes in (
            (parties.API, "read write"),
            (self.tenant.issuer, OURS),
        ):
            parties.new_resource(services, self.tenant, identifier, scopes)
        parties.new_resource(services, self.tenant, OPAQUE_API, "peek", access_token_format="opaque")
        self.party: Party = parties.new_client(
            services,
            self.tenant,
            client_id="server",
            scope=SCOPES + " peek",
            redirect_uris=[REDIRECT_URI],
            grant_types=list(GRANT_TYPES),
            token_exchange={
                "impersonation": True,
                "delegation": True,
                "subject_clients": ["*"],
                "actors": ["*"],
            },
        )
        self._public_client()
        new_app(services, self.tenant)
        self._open_registration()
        self.user_id = self._person()
        self.dead_letter_id = self._dead_letter()
        self._session = ""
        self._victim_id = ""
        self.message_id = self._message()
        self._kept: dict[str, tuple[str, int]] = {}
        self.renew()
        self._open("GET", self.tenant.path + "/sign-in")

    @property
    def origin(self) -> str:
        """Scheme and host of the deployment."""
        return self.services.settings.base_url

    def renew(self) -> None:
        """Sign the person in anew, unless they still are."""
        if self.services.sessions.get(self.tenant, self._session) is None:
            _, self._session = self.services.sessions.start(
                self.tenant, self.user_id, self._epoch, amr=("pwd",), acr=ONE_FACTOR, ip="127.0.0.1"
            )

    def forget(self) -> None:
        """Make tokens anew: those at hand may have been revoked."""
        self._kept.clear()

    def _auth_session(self) -> str:
        native = NativeApp(Http(self.app, self.tenant))
        native.begin()
        return native.auth_session or ""

    def registration_token(self) -> tuple[str, str]:
        """An initial access token: its id, and itself."""
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            pepper = self.services.deployment_secrets.pepper()
            made, token = initial_tokens.create(session, pepper, name="", max_uses=1, seconds=3600, by=None)
        return made.id, token

    def registered_client(self) -> tuple[str, str]:
        """A client that registered itself: its id, and its registration access token."""
        tenant = self.services.tenants.by_id(self.tenant.id)
        assert tenant is not None
        metadata = client_registration.read({"redirect_uris": [REDIRECT_URI]}, tenant.settings)
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            made = self.services.registered_clients.register(
                session, tenant, metadata, initial_token_id=None, statement_issuer=None
            )
        return made.client_id, made.token

    def session_cookie(self) -> str:
        """The Cookie header of the signed-in browser."""
        self.renew()
        return f"ww-{self.tenant.id}={self._session}"

    def other_session(self) -> str:
        """The public id of a session in another browser."""
        found, _ = self.services.sessions.start(self.tenant, self.user_id, self._epoch, amr=("pwd",))
        return found.sid

    def value(self, fresh: Fresh) -> str:
        """What a `Fresh` stands for."""
        makers: dict[Kind, Callable[[], str]] = {
            "code": lambda: self.code().code,
            "auth_session": self._auth_session,
            "refresh": lambda: self._tokens("openid offline_access read")["refresh_token"],
            "access": lambda: self._tokens(f"openid profile {OURS}")["access_token"],
            "opaque": lambda: self._tokens("openid peek")["access_token"],
            "id_token": lambda: self._tokens("openid")["id_token"],
            "csrf": self._csrf,
            "logout": self._logout_handle,
            "consent": self._consent_id,
            "grant": self._lasting_grant_id,
            "client_secret": lambda: self.party.secret,
            "registration_token": lambda: self.registration_token()[1],
            "name": lambda: secrets.token_hex(8),
            "address": lambda: f"{secrets.token_hex(8)}@example.com",
        }
        if fresh.kind not in REUSED:
            return damaged(makers[fresh.kind](), fresh.damage)
        value, uses = self._kept.get(fresh.kind, ("", 0))
        if not uses:
            value, uses = makers[fresh.kind](), USES
        self._kept[fresh.kind] = (value, uses - 1)
        return damaged(value, fresh.damage)

    def code(self, scope: str = "openid profile") -> Code:
        """A code nobody used yet, for `self.party`."""
        resources = (self.tenant.issuer,)
        if "peek" in scope:
            resources = (OPAQUE_API,)
        elif "read" in scope.split():
            resources = (parties.API,)
        factors = parties.TWO_FACTORS if "watchword:admin" in scope.split() else {}
        return parties.new_code(
            self.services,
            self.tenant,
            self.party,
            self.user_id,
            scope,
            resources=resources,
            pkce=False,
            **factors,
        )

    def interaction(self, prompt: str = "consent", **changes: str) -> tuple[str, str, str]:
        """An interaction of the signed-in browser: its id, all the cookies, and the token of its forms."""
        client = Client(self.app.wsgi_app)
        name, _, value = self.session_cookie().partition("=")
        client.set_cookie(name, value)
        query = {
            "client_id": APP,
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "scope": "openid profile read",
            "code_challenge": "c" * 43,
            "code_challenge_method": "S256",
            "state": "state-1",
            "prompt": prompt,
            **changes,
        }
        answer = self._open("GET", self.tenant.path + "/authorize", client, query_string=query)
        found = re.search(r"/interaction/([^/?]+)$", answer.headers["Location"])
        assert found, answer.headers
        page = self._open("GET", answer.headers["Location"], client)
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        cookies = "; ".join(f"{cookie.key}={cookie.value}" for cookie in client._cookies.values())  # type: ignore[attr-defined]
        return found[1], cookies, token[1] if token else ""

    def admin_link(self) -> tuple[str, str]:
        """A link that makes an administrator, and the token of its form."""
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            link = admin_links.create(session, recover=True)
        return link, self.form_token(f"admin-link:{link}")

    def one_time_link(self, purpose: str) -> tuple[str, str]:
        """A link for the person, or for somebody new, and the token of its form."""
        email = f"{secrets.token_hex(8)}@example.com"
        data: dict[str, dict[str, Any]] = {
            "registration": {"email": email, "interaction": None},
            "invitation": {"email": email, "roles": [], "groups": [], "by_mail": True},
            "undo_email": {"email": email, "verified": True},
            "verify_email": {"email": "alice@example.com"},
        }
        if purpose in ("registration", "invitation"):
            whose = None
        else:
            whose = self.user_id if purpose == "verify_email" else self._victim()
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            token = one_time_links.create(
                session, purpose, user_id=whose, data=data.get(purpose, {"email": email})
            )
        return token, self.form_token(links.bound_to(token))

    def invitation_id(self) -> str:
        """An invitation nobody accepted yet."""
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            email = f"{secrets.token_hex(8)}@example.com"
            return invitations.create(session, email, by=None, by_mail=True)[0].id

    def somebody(self) -> str:
        """A person nobody is signed in as."""
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            name = secrets.token_hex(8)
            stored = unmatchable_hash()
            return users.create(session, username=name, email=f"{name}@example.com", password_hash=stored).id

    def leaver(self) -> tuple[str, str, str]:
        """A browser signed in as somebody who may go: its cookie, the token of its forms, and the user name."""
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            user = users.create(session, username=secrets.token_hex(8))
            user_id, epoch, username = user.id, user.epoch, user.username
        _, cookie = self.services.sessions.start(
            self.tenant, user_id, epoch, amr=("pwd",), acr=ONE_FACTOR, ip="127.0.0.1"
        )
        return f"ww-{self.tenant.id}={cookie}", self.form_token(account.binding(cookie)), username

    def _victim(self) -> str:
        self._victim_id = self._victim_id or self.somebody()
        return self._victim_id

    def form_token(self, bound_to: str) -> str:
        """The token of a form."""
        with self.app.app_context():
            return make_token(bound_to)

    def _open(self, method: str, path: str, client: Client | None = None, **options: Any) -> TestResponse:
        client = client or Client(self.app.wsgi_app)
        # Each time from elsewhere: what is made beforehand is to meet no limit.
        options["environ_base"] = {
            "REMOTE_ADDR": f"11.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
        }
        return client.open(path, method=method, base_url=self.origin, **options)

    def _csrf(self) -> str:
        self.renew()
        return self.form_token(account.binding(self._session))

    def _tokens(self, scope: str) -> dict[str, Any]:
        form = self.code(scope).form()
        del form["code_verifier"]
        answer = self._open("POST", self.tenant.path + "/token", data=form, headers=self.party.basic)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json  # type: ignore[assignment]
        return found

    def _logout_handle(self) -> str:
        answer = self._open("POST", self.tenant.path + "/logout", data={"client_id": APP, "state": "s"})
        return answer.headers["Location"].rpartition("/")[2]

    def _consent_id(self) -> str:
        self.consent()
        with self.services.tenancy.session(self.tenant.id) as session:
            found = session.query(Consent).filter_by(user_id=self.user_id).first()
            return found.id if found else ""

    def _lasting_grant_id(self) -> str:
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            found = grants.create(
                session,
                user_id=self.user_id,
                client_id=APP,
                session_id=None,
                scopes=("openid", "offline_access"),
                resources=(self.tenant.issuer,),
                auth_time=clock.now(),
                amr=("pwd",),
                acr=ONE_FACTOR,
                offline=True,
                consents=(),
            )
            self.services.refresh_tokens.start(
                session, self.tenant.id, found.id, expires_at=clock.after(3600)
            )
            return found.id

    def consent(self) -> None:
        """What the person allowed."""
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            openid = {"": frozenset({"openid", "profile", "email", "offline_access", "groups"})}
            consents.allow(session, self.user_id, APP, {**openid, parties.API: frozenset({"read", "write"})})

    def _person(self) -> str:
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            user = users.create(
                session,
                username=USERNAME,
                email="alice@example.com",
                password_hash=self.services.passwords.hash(PASSWORD),
                claims=parties.EVERY_CLAIM,
            )
            rbac.give_role(session, user.id, "admin")
            self._epoch = user.epoch
            user_id = user.id
        self.user_id = user_id
        self.consent()
        return user_id

    def _public_client(self) -> None:
        said = {
            "redirect_uris": [REDIRECT_URI, LOOPBACK_URI],
            "post_logout_redirect_uris": [SIGNED_OUT],
            "grant_types": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_method": "none",
            "scope": "openid profile email offline_access groups read write",
            "policy_uri": CLIENT_PAGE,
            "logo_uri": LOGO_URI,
        }
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            clients.create(session, APP, said)
        self.services.versions.touch()

    def brand_preview(self) -> str:
        """A link to a preview."""
        return brand_preview.make_link(self.services, self.tenant, {"logo": LOGO}).rpartition("/")[2]

    def _message(self) -> str:
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            message = MailboxMessage(
                recipient="a@example.com", subject="Hello", text="Hello", html="<p>Hello"
            )
            session.add(message)
            session.flush()
            return message.id

    def _open_registration(self) -> None:
        with self.services.tenancy.system(SystemReason.COMMAND_LINE, write=True) as session:
            row = tenants.find(session, self.tenant.slug)
            if row is None:
                raise AssertionError("no tenant")
            branded = branding.keep_pictures(session, row.id, {"branding": {"name": "Acme", "logo": LOGO}})
            open_to = {"people": "open", "clients": "open", "client_rules": {"max_clients": 100_000}}
            tenants.update_settings(row, {"registration": open_to, **branded})
            digest = lookup_hash(LOGO_URI)[:DIGEST_CHARACTERS]
            branding.keep(session, row.id, f"client:{APP}:{digest}", LOGO, source=LOGO_URI)
        self.services.versions.touch()

    def _dead_letter(self) -> int:
        with self.services.tenancy.session(self.tenant.id, write=True) as session:
            outbox.put(session, "fuzz", secrets.token_hex(4), {})
        claim = next(c for c in self.services.outbox.claim(self.tenant.id) if c.topic == "fuzz")
        self.services.outbox.failed(claim, DeliveryFailed("never", permanent=True))
        return claim.id
