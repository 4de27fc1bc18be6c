"""The JWT bearer grant (RFC 7523 section 2.1): tokens for an assertion of a trusted issuer.

The issuer's rules say whom the assertion stands for: a client, which may then need nothing else to show, or a person.
"""

from dataclasses import dataclass, replace

from app.domain import access_rules, grants, trusted_issuers
from app.domain.claims import OPENID_SCOPES
from app.domain.clients import ClientRecord
from app.domain.trusted_issuers import IssuerRule
from app.infra import audit
from app.infra.audit import Event
from app.infra.limits import CLIENT_REQUESTS, NETWORK_FAILURES, network_of
from app.kernel import clock
from app.protocols.oauth import audience, errors, profiles, subjects
from app.protocols.oauth.audience import Target
from app.protocols.oauth.authlib_seam import ExtensionGrant, TokenResponse
from app.protocols.oauth.client_auth import PARAMETERS
from app.protocols.oauth.errors import OAuthError
from app.protocols.oauth.foreign import ForeignRefused, ForeignToken
from app.protocols.oauth.issuance import Issuance, issue
from app.protocols.oauth.trip import Trip


@dataclass(frozen=True, slots=True)
class _Assertion:
    """A verified assertion, and the rule that says what it is worth."""

    token: ForeignToken
    rule: IssuerRule


class JwtBearer(ExtensionGrant):
    """Verify, then take: the assertion's one use rides in the first trip, with the limits."""

    GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    NEEDS_TRUSTED_ISSUER = True
    PARAMETERS = frozenset({"assertion", "scope", "authorization_details", *PARAMETERS})

    def validate_token_request(self) -> None:
        """A client that authenticates, or one for which its issuer's word is enough (section 3.1)."""
        self._assertion: _Assertion | None = None
        if self._shows_credentials():
            super().validate_token_request()
            return
        found = self._read()
        rule, stated = found.rule, self.exchange.request.form.get("client_id")
        tenant = self.exchange.request.tenant
        client = self.exchange.parts.clients.get(tenant.id, rule.client) if rule.client else None
        # What a rule says, a profile that wants clients to authenticate by certain methods does not take back.
        authenticates = client is not None and profiles.of(client, tenant).auth_methods is not None
        if rule.client is None or rule.client_authentication != "none" or authenticates:
            super().validate_token_request()
            self._assertion = found
            return
        if client is None or stated not in (None, rule.client):
            raise self._refused(
                "assertion.client", f"rule {rule.name} names {rule.client}, not {stated!r:.200}"
            )
        self._vouched_for(client)
        self._assertion = found

    def respond(self) -> TokenResponse:
        """RFC 7523 section 2.1. Raises `OAuthError`."""
        exchange, found = self.exchange, self._assertion or self._read()
        client, rule = exchange.known_client, found.rule
        if rule.client is not None and rule.client != client.client_id:
            raise self._refused("assertion.client", f"rule {rule.name} names {rule.client}")
        if rule.client is None and rule.clients and client.client_id not in rule.clients:
            raise self._refused("assertion.client", f"rule {rule.name} is for {rule.clients}")
        if found.token.used is not None:
            exchange.trip.add(found.token.used, errors.ASSERTION_REUSED)
        exchange.trip.go()
        target = self._target(client, rule)
        issuance = Issuance(
            tenant=exchange.request.tenant,
            client=client,
            grant_type=self.GRANT_TYPE,
            scopes=target.scopes,
            audience=target.audience,
            not_after=found.token.expires_at,
            cnf=exchange.cnf,
            authorization_details=exchange.details(None if rule.client else (), target.audience),
            with_id_token=False,
        )
        if rule.client is None:
            issuance = self._for_person(issuance, found)
        response = issue(issuance, exchange.parts.keyring, exchange.resources, exchange.trip)
        exchange.trip.add(audit.operation(self._event(issuance, found)))
        exchange.trip.go()
        return response

    def _shows_credentials(self) -> bool:
        request = self.exchange.request
        return "authorization" in request.headers or not {"client_secret", "client_assertion"}.isdisjoint(
            request.form
        )

    def _vouched_for(self, client: ClientRecord) -> None:
        """What authenticating does, for a client its issuer vouches for. Raises `OAuthError`."""
        exchange = self.exchange
        tenant_id = exchange.request.tenant.id
        exchange.client = client
        exchange.trip.add(CLIENT_REQUESTS.count(tenant_id, client.client_id), errors.RATE_LIMITED)
        exchange.bind()
        view = self.server.view(client)
        self.request.client = view
        if not view.check_grant_type(self.GRANT_TYPE):
            raise errors.GRANT_TYPE_NOT_ALLOWED(f"{client.client_id}: {self.GRANT_TYPE}")

    def _read(self) -> _Assertion:
        """The assertion and its rule. Raises `OAuthError`."""
        exchange = self.exchange
        try:
            token = exchange.parts.foreign.verify(self.required("assertion"), exchange.request.tenant)
        except ForeignRefused as refusal:
            raise self._refused(refusal.code, refusal.detail) from None
        rule = token.issuer.rule_for(token.claims)
        if rule is None:
            raise self._refused("assertion.unmatched", f"{token.subject[:300]!r} of {token.issuer.issuer}")
        return _Assertion(token, rule)

    def _refused(self, reason: str, detail: str) -> OAuthError:
        """The refusal. Where no client is known to put it on record under, it is put there and counted here."""
        error = errors.because(errors.ASSERTION_REFUSED, reason)(detail)
        exchange = self.exchange
        if exchange.client is None:
            request, trip = exchange.request, Trip(exchange.parts.state)
            network = network_of(request.remote_address)
            trip.add(NETWORK_FAILURES.count(request.tenant.id, network), errors.TOO_MANY_FAILURES)
            event = Event(
                "token.refused",
                tenant_id=request.tenant.id,
                outcome="failure",
                reason=reason,
                ip=request.remote_address,
                user_agent=request.user_agent,
                data={"grant_type": self.GRANT_TYPE, "endpoint": "token", "error": error.error},
            )
            trip.add(audit.operation(event))
            trip.go()
        return error

    def _target(self, client: ClientRecord, rule: IssuerRule) -> Target:
        """What the client is registered for, as far as the rule goes. Raises `OAuthError`."""
        exchange = self.exchange
        asked = audience.read_scope(self.parameter("scope"))
        bound = client.scopes if rule.scopes is None else client.scopes & set(rule.scopes)
        if asked is not None and (excess := set(asked) - bound):
            raise errors.SCOPE_EXCEEDED(f"{sorted(excess)} are not what rule {rule.name} is good for")
        wanted = tuple(sorted(bound)) if asked is None else asked
        own = tuple(s for s in wanted if s not in OPENID_SCOPES)
        target = audience.of_client(
            client,
            exchange.resources,
            exchange.request.tenant.issuer,
            own,
            audience.read_resources(exchange.request.values("resource")),
        )
        openid = tuple(s for s in wanted if s in OPENID_SCOPES and rule.client is None)
        return Target(openid + target.scopes, target.audience)

    def _for_person(self, issuance: Issuance, found: _Assertion) -> Issuance:
        """The person the assertion stands for, and a grant to take back what came of it by. Raises `OAuthError`."""
        exchange = self.exchange
        request, client = exchange.request, exchange.known_client
        refused = access_rules.check(
            request.tenant.settings, request.remote_address, clock.now(), amr=(access_rules.FEDERATED,)
        )
        if refused is not None:
            raise errors.ACCESS_RULES[refused](f"from {request.remote_address}")
        with exchange.parts.tenancy.session(request.tenant.id, write=True) as session:
            user = trusted_issuers.user_of(session, found.rule, found.token.claims)
            # Whoever asked to be deleted has taken everything back, and gets nothing new.
            if user is None or user.disabled_at is not None or user.delete_at is not None:
                raise self._refused("assertion.subject", f"rule {found.rule.name}")
            target = Target(issuance.scopes, issuance.audience)
            subject = subjects.load(session, user, client, exchange.resources, target, {})
            grant = grants.create(
                session,
                user_id=user.id,
                client_id=client.client_id,
                session_id=None,
                scopes=issuance.scopes,
                resources=issuance.audience,
                auth_time=clock.now(),
                amr=(access_rules.FEDERATED,),
                acr="",
                offline=True,
                consents=(),
            )
            return replace(issuance, subject=subject, grant_id=grant.id, offline=True)

    def _event(self, issuance: Issuance, found: _Assertion) -> Event:
        request = self.exchange.request
        data = {
            **issuance.on_record(self.exchange.resources),
            "subject": found.token.subject,
            "subject_issuer": found.token.issuer.issuer,
            "subject_token_id": found.token.token_id,
            "rule": found.rule.name,
        }
        return Event(
            "token.issued",
            tenant_id=request.tenant.id,
            outcome="success",
            user_id=issuance.subject.user_id if issuance.subject else None,
            ip=request.remote_address,
            user_agent=request.user_agent,
            client_id=issuance.client.client_id,
            grant_id=issuance.grant_id,
            data=data,
        )
