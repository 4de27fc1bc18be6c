"""`/api/v1/me/factors` and `/api/v1/me/recovery-codes`: what the caller signs in with."""

from uuid import UUID

from app.domain import authenticators
from app.infra import audit
from app.kernel.errors import Problem
from app.web import pages
from app.web.account import factors
from app.web.api.bearer import Caller
from app.web.api.bodies import NoQuery
from app.web.api.me_bodies import (
    FactorChange,
    FactorList,
    FactorView,
    RecoveryCodes,
    RecoveryCodesLeft,
    Removed,
)
from app.web.factors import keeping


def listed(caller: Caller, _query: NoQuery) -> FactorList:
    """Everything registered, oldest first."""
    with pages.services().tenancy.session(caller.tenant.id) as session:
        holdings = authenticators.holdings(session, caller.user)
        rows = authenticators.of_user(session, caller.user.id)
        return FactorList(
            factors=[FactorView.of(row) for row in rows],
            has_password=holdings.password,
            recovery_codes_left=holdings.recovery_codes,
        )


def rename(caller: Caller, _query: NoQuery, body: FactorChange, factor_id: UUID) -> FactorView:
    """Give one another name. Raises `Problem` (`factor.unknown`)."""
    with pages.services().tenancy.session(caller.tenant.id, write=True) as session:
        row = authenticators.rename(session, caller.user.id, str(factor_id), body.name)
        audit.record(session, caller.event("factor.renamed", method=row.kind, name=row.name, target=row.id))
        session.flush()
        return FactorView.of(row)


def remove(caller: Caller, _query: NoQuery, factor_id: UUID) -> Removed:
    """Take one away. Raises `Problem` (`factor.unknown`; `factor.last`, `factor.only_way`, 409)."""
    with pages.services().tenancy.session(caller.tenant.id, write=True) as session:
        row = factors.removed(session, caller.tenant, caller.user, caller.access, str(factor_id))
        audit.record(session, caller.event("factor.removed", method=row.kind, name=row.name, target=row.id))
        return Removed(id=row.id)


def recovery_codes_left(caller: Caller, _query: NoQuery) -> RecoveryCodesLeft:
    """How many codes are unused."""
    with pages.services().tenancy.session(caller.tenant.id) as session:
        return RecoveryCodesLeft(left=authenticators.recovery_codes_left(session, caller.user.id))


def new_recovery_codes(caller: Caller, _query: NoQuery) -> RecoveryCodes:
    """New codes in place of all the caller had. Raises `Problem` (`factor.missing`) without a factor they stand for."""
    parts = pages.services()
    with parts.tenancy.session(caller.tenant.id, write=True) as session:
        if not authenticators.of_user(session, caller.user.id):
            raise Problem(
                "factor.missing",
                "Recovery codes are for people with a second factor. Add one first.",
                status=409,
            )
        codes = authenticators.new_recovery_codes(session, parts.deployment_secrets.pepper(), caller.user.id)
        audit.record(session, caller.event("recovery.generated", count=len(codes)))
        keeping.tell_of_codes(session, caller.tenant, caller.user)
        return RecoveryCodes(codes=codes)
