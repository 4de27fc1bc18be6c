"""The ways of showing who one is: one file each, one row of `FACTORS` each.

A row says what the engine and the pages have to know: whether a tenant lets people use it as a second factor, and
whether somebody has it. How it is challenged and verified is the factor's own, and gives `outcome.Verified`, `Failed`
or `Blocked`; a module of `web.factors` under the same id shows and takes it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from app.domain import assurance
from app.domain.authenticators import Holdings
from app.domain.tenant_settings import AuthenticationSettings


@dataclass(frozen=True, slots=True)
class Factor:
    """One way to show a second factor, the ways people like best first."""

    id: str
    kind: str
    """Of `domain.assurance`: two different ones make two factors."""
    allowed: Callable[[AuthenticationSettings], bool]
    enrolled: Callable[[Holdings], bool]


def _method(name: str) -> Callable[[AuthenticationSettings], bool]:
    return lambda settings: name in settings.mfa.methods


FACTORS: tuple[Factor, ...] = (
    Factor("passkey", assurance.POSSESSION, _method("passkey"), lambda held: held.passkeys > 0),
    Factor("totp", assurance.POSSESSION, _method("totp"), lambda held: held.totp > 0),
    Factor("sms", assurance.POSSESSION, _method("sms"), lambda held: held.phones > 0),
    Factor("email", assurance.MAILBOX, _method("email"), lambda held: held.mailbox),
    Factor(
        "password",
        assurance.KNOWLEDGE,
        lambda settings: "password" in settings.methods,
        lambda held: held.password,
    ),
    Factor("recovery", assurance.POSSESSION, lambda _: True, lambda held: held.recovery_codes > 0),
)


def usable(settings: AuthenticationSettings, held: Holdings, amr: tuple[str, ...]) -> tuple[str, ...]:
    """The factors that would be another kind of proof than what was shown, the best first.

    Recovery codes alone are no way: they go with what they stand in for.
    """
    shown = assurance.kinds(amr)
    found = [f.id for f in FACTORS if f.kind not in shown and f.allowed(settings) and f.enrolled(held)]
    if assurance.MAILBOX in shown and "email" not in settings.mfa.methods and "password" in found:
        # Where mail sets a new password, mailbox and password are one, unless the tenant says otherwise.
        found.remove("password")
    return () if found == ["recovery"] else tuple(found)


def unshown(settings: AuthenticationSettings, held: Holdings, amr: tuple[str, ...]) -> tuple[str, ...]:
    """The factors of the same kind as the one that was shown, the best first; none once two were."""
    shown = {_BY_AMR[name] for name in amr if name in _BY_AMR}
    if len(shown) != 1 or not shown <= _POSSESSIONS:
        return ()
    found = [
        f.id for f in FACTORS if f.id in _POSSESSIONS - shown and f.allowed(settings) and f.enrolled(held)
    ]
    return () if found == ["recovery"] else tuple(found)


_BY_AMR = {"pwd": "password", "swk": "passkey", "hwk": "passkey", "otp": "totp", "sms": "sms"}
_POSSESSIONS = {f.id for f in FACTORS if f.kind == assurance.POSSESSION}
