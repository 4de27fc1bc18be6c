"""Reading the mail that was promised: delivers the tenant's outbox into the mailbox, and finds the links."""

import re
from dataclasses import dataclass

from app.domain.tenants import TenantContext
from app.infra import mail
from app.web.services import Services


@dataclass(frozen=True)
class Letter:
    """A mail that arrived."""

    to: str
    subject: str
    text: str
    html: str

    @property
    def link(self) -> str:
        """The address of its button."""
        found = re.search(
            r"^https?://\S+/(?:register|invitation|reset|recover|email)/\S+$", self.text, re.MULTILINE
        )
        assert found, self.text
        return found[0]


def letters(services: Services, tenant: TenantContext, to: str | None = None) -> list[Letter]:
    """Everything that was sent in this tenant so far, oldest first."""
    while claims := [c for c in services.outbox.claim(tenant.id) if c.topic == mail.TOPIC]:
        for claim in claims:
            services.outbox.delivered(claim, services.mailer.deliver(tenant.id, claim.payload))
    with services.tenancy.session(tenant.id) as session:
        kept = [Letter(m.recipient, m.subject, m.text, m.html or "") for m in mail.mailbox(session, 200)]
    return [letter for letter in reversed(kept) if to is None or letter.to == to]


def newest(services: Services, tenant: TenantContext, to: str) -> Letter:
    """The last mail to an address."""
    found = letters(services, tenant, to)
    assert found, f"no mail to {to}"
    return found[-1]


def path_of(link: str, tenant: TenantContext) -> str:
    """The path of a link within its tenant."""
    assert link.startswith(tenant.issuer + "/"), link
    return link.removeprefix(tenant.issuer)
