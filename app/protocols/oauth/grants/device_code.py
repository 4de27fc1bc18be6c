"""The device code grant, its token request (RFC 8628 section 3.4): the device asks until the person has decided."""

from app.domain import access_rules, devices_pending
from app.domain.client_metadata import DEVICE_CODE
from app.domain.devices_pending import ALLOWED, DENIED, Poll
from app.kernel import clock
from app.protocols.oauth import errors
from app.protocols.oauth.authlib_seam import ExtensionGrant, TokenResponse
from app.protocols.oauth.grants.redeeming import Redeeming
from app.protocols.oauth.issuance import issue

MAX_CODE = 200


class DeviceCode(ExtensionGrant, Redeeming):
    """One trip while the person thinks; then the same one write in the database that redeems an authorization code.

    A second collection is refused and revokes nothing: a device that lost the answer asks again, and the code is bound
    to its client.
    """

    GRANT_TYPE = DEVICE_CODE  # type: ignore[assignment]
    PARAMETERS = frozenset({"device_code"})
    EXPIRED = errors.DEVICE_EXPIRED
    REPLAYED = errors.DEVICE_REDEEMED
    REVOKED = errors.DEVICE_REDEEMED
    REVOKES_REPLAYED = False

    def respond(self) -> TokenResponse:
        """Tokens, or what the device has to do (section 3.5). Raises `OAuthError`."""
        exchange = self.exchange
        tenant_id = exchange.request.tenant.id
        places = [
            exchange.trip.add(operation)
            for operation in devices_pending.poll_ops(tenant_id, self.required("device_code")[:MAX_CODE])
        ]
        results = exchange.trip.go()
        poll = devices_pending.poll_of(tuple(results[place] for place in places))
        self._hold_back(poll)
        found = poll.found
        if found is None:
            raise errors.DEVICE_UNKNOWN()
        if found.client_id != exchange.known_client.client_id:
            raise errors.DEVICE_WRONG_CLIENT(f"issued to {found.client_id}")
        if poll.too_early:
            raise errors.DEVICE_SLOW_DOWN(f"{poll.slow_downs + 1} times")
        if found.status == DENIED:
            raise errors.DEVICE_DENIED()
        if found.expired:
            raise errors.DEVICE_EXPIRED()
        if found.status != ALLOWED:
            raise errors.DEVICE_PENDING()
        record, request = found.code_record, exchange.request
        refused = access_rules.check(
            request.tenant.settings, request.remote_address, clock.now(), amr=record.amr
        )
        if refused is not None:
            # The grant stays unredeemed: the device may ask again from where it may.
            raise errors.ACCESS_RULES[refused](f"grant {record.grant_id}, from {request.remote_address}")
        issuance = self.redeem(record)
        response = issue(issuance, exchange.parts.keyring, exchange.resources, exchange.trip)
        exchange.trip.go()
        return response

    def _hold_back(self, poll: Poll) -> None:
        slower = devices_pending.slower(self.exchange.request.tenant.id, poll)
        if slower:
            self.exchange.parts.state.execute(*slower)
