"""The development mailbox: mail that was not sent, because no SMTP server is configured."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from app.infra.db import Model, TenantOwned
from app.kernel import clock, ids


class MailboxMessage(TenantOwned, Model):
    """One message, shown at `/dev/mailbox` on loopback deployments without SMTP."""

    __tablename__ = "mailbox"

    id: Mapped[str] = mapped_column(primary_key=True, default=ids.new_id)
    recipient: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str]
    html: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=clock.now)
