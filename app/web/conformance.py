"""Aids for certification suites, which cannot wait for an operator: there with `WATCHWORD_CONFORMANCE` alone
(contracts 23), for whoever shows the token that `watchword serve` prints. Every page says that they are there.
"""

from flask import Flask, Response, make_response, request

from app.infra import audit
from app.infra.audit import Event
from app.infra.limits import NETWORK_FAILURES, network_of, require
from app.kernel.secrets import equal, keyed_hash
from app.web import pages

ROTATE_KEYS = "/conformance/rotate-keys"


def token_of(pepper: bytes) -> str:
    """What the aids ask for: the same in every process of a deployment, and in no other deployment."""
    return keyed_hash(pepper, "conformance token 1").hex()


def register(app: Flask) -> None:
    """Add the aids to the application."""
    app.add_url_rule(ROTATE_KEYS, "conformance_rotate_keys", _rotate_keys, methods=["POST"])


def _rotate_keys() -> Response:
    """Let the tenant's next keys sign from now on: 204, or 401 without the token."""
    parts, tenant, origin = pages.services(), pages.tenant(), pages.origin()
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not equal(given.strip(), token_of(parts.deployment_secrets.pepper())):
        require(
            parts.state.execute(NETWORK_FAILURES.count(tenant.id, network_of(origin.ip))), NETWORK_FAILURES
        )
        return make_response("", 401, {"WWW-Authenticate": 'Bearer realm="conformance"'})
    parts.keyring.rotate(tenant.id)
    with parts.tenancy.session(tenant.id, write=True) as session:
        for key in parts.keyring.list(tenant.id):
            if key.state == "current":
                data = {"kid": key.kid, "algorithm": key.alg, "via": "conformance"}
                event = Event("key.rotated", tenant_id=tenant.id, outcome="success", ip=origin.ip, data=data)
                audit.record(session, event)
    return make_response("", 204)
