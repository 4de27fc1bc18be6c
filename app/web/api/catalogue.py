"""Every endpoint of the API, one row each: route, check, answer and description come from it."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel

from app.domain.resources import ACCOUNT_READ, ACCOUNT_WRITE, API_ADMIN, API_READ
from app.web.api import (
    audit,
    dead_letters,
    invitations,
    me,
    me_factors,
    me_grants,
    me_profile,
    me_sessions,
    people,
    tenant,
)
from app.web.api.bodies import (
    AuditPage,
    DeadLetterPage,
    InvitationBody,
    InvitationPage,
    InvitationView,
    Me,
    NamePage,
    NoQuery,
    Page,
    PersonState,
    Retry,
    TenantView,
)
from app.web.api.me_bodies import (
    Ended,
    FactorChange,
    FactorList,
    FactorView,
    GrantList,
    ProfileChange,
    ProfileView,
    RecoveryCodes,
    RecoveryCodesLeft,
    Removed,
    SessionList,
    Withdrawn,
)

PREFIX = "/api/v1"


@dataclass(frozen=True, slots=True)
class ApiEndpoint:
    """One endpoint. `path` is in Flask's notation, below `PREFIX`; its parameters are `<int:...>` or `<uuid:...>`."""

    name: str
    method: str
    path: str
    scope: str | None
    """What the token has to carry besides being meant for the issuer."""
    permission: str | None
    """What the person has to hold through a role."""
    handler: Callable[..., BaseModel]
    query: type[BaseModel]
    answer: type[BaseModel]
    summary: str
    status: int = 200
    area: str | None = None
    """One of the tenant's `sessions.reauthenticate_for`: how recent the person's sign-in has to be (RFC 9470)."""
    body: type[BaseModel] | None = None
    """What the request carries as JSON; the handler gets it as `body`."""


ENDPOINTS: tuple[ApiEndpoint, ...] = (
    ApiEndpoint(
        "me",
        "GET",
        "/me",
        None,
        None,
        me.show,
        NoQuery,
        Me,
        "Who the access token speaks of, and what they may do.",
    ),
    ApiEndpoint(
        "tenant",
        "GET",
        "/tenant",
        API_READ,
        "tenant:read",
        tenant.show,
        NoQuery,
        TenantView,
        "The tenant and its settings.",
    ),
    ApiEndpoint(
        "audit",
        "GET",
        "/audit",
        API_READ,
        "audit:read",
        audit.listed,
        Page,
        AuditPage,
        "The audit, newest record first.",
    ),
    ApiEndpoint(
        "dead_letters",
        "GET",
        "/outbox/dead-letters",
        API_READ,
        "outbox:manage",
        dead_letters.listed,
        Page,
        DeadLetterPage,
        "What the worker gave up delivering, oldest first.",
    ),
    ApiEndpoint(
        "retry_dead_letter",
        "POST",
        "/outbox/dead-letters/<int:dead_letter_id>/retry",
        API_ADMIN,
        "outbox:manage",
        dead_letters.retry,
        NoQuery,
        Retry,
        "Have a dead letter delivered after all.",
        status=202,
    ),
    ApiEndpoint(
        "invitations",
        "GET",
        "/invitations",
        API_READ,
        "users:invite",
        invitations.listed,
        NamePage,
        InvitationPage,
        "Invitations that may still be accepted, oldest first.",
    ),
    ApiEndpoint(
        "invite",
        "POST",
        "/invitations",
        API_ADMIN,
        "users:invite",
        invitations.create,
        NoQuery,
        InvitationView,
        "Invite somebody to make an account, by mail. Nobody gives roles or groups beyond their own permissions.",
        status=201,
        body=InvitationBody,
    ),
    ApiEndpoint(
        "revoke_invitation",
        "DELETE",
        "/invitations/<uuid:invitation_id>",
        API_ADMIN,
        "users:invite",
        invitations.revoke,
        NoQuery,
        InvitationView,
        "Take an invitation back.",
    ),
    *(
        ApiEndpoint(
            f"{action}_user",
            "POST",
            f"/users/<uuid:user_id>/{path}",
            API_ADMIN,
            "users:manage",
            handler,
            NoQuery,
            PersonState,
            summary,
        )
        for action, path, handler, summary in (
            (
                "disable",
                "disable",
                people.disable,
                "Close an account; everything issued to the person ends at once.",
            ),
            ("enable", "enable", people.enable, "Open a disabled account."),
            ("unlock", "unlock", people.unlock, "Forget the failed sign-ins of an account."),
            (
                "recover",
                "recovery",
                people.recover,
                "Mail a person who lost their factors a link to set new ones.",
            ),
        )
    ),
    ApiEndpoint(
        "my_profile",
        "GET",
        "/me/profile",
        ACCOUNT_READ,
        None,
        me_profile.show,
        NoQuery,
        ProfileView,
        "Your profile.",
    ),
    ApiEndpoint(
        "change_my_profile",
        "PATCH",
        "/me/profile",
        ACCOUNT_WRITE,
        None,
        me_profile.change,
        NoQuery,
        ProfileView,
        "Change your profile; all of what is sent, or nothing.",
        body=ProfileChange,
    ),
    ApiEndpoint(
        "my_factors",
        "GET",
        "/me/factors",
        ACCOUNT_READ,
        None,
        me_factors.listed,
        NoQuery,
        FactorList,
        "What you sign in with.",
    ),
    ApiEndpoint(
        "rename_my_factor",
        "PATCH",
        "/me/factors/<uuid:factor_id>",
        ACCOUNT_WRITE,
        None,
        me_factors.rename,
        NoQuery,
        FactorView,
        "Give a factor another name.",
        body=FactorChange,
        area="security",
    ),
    ApiEndpoint(
        "remove_my_factor",
        "DELETE",
        "/me/factors/<uuid:factor_id>",
        ACCOUNT_WRITE,
        None,
        me_factors.remove,
        NoQuery,
        Removed,
        "Remove a factor.",
        area="security",
    ),
    ApiEndpoint(
        "my_recovery_codes",
        "GET",
        "/me/recovery-codes",
        ACCOUNT_READ,
        None,
        me_factors.recovery_codes_left,
        NoQuery,
        RecoveryCodesLeft,
        "How many of your recovery codes are left.",
    ),
    ApiEndpoint(
        "new_recovery_codes",
        "POST",
        "/me/recovery-codes",
        ACCOUNT_WRITE,
        None,
        me_factors.new_recovery_codes,
        NoQuery,
        RecoveryCodes,
        "Ten new recovery codes, shown this once, in place of those you had.",
        status=201,
        area="security",
    ),
    ApiEndpoint(
        "my_sessions",
        "GET",
        "/me/sessions",
        ACCOUNT_READ,
        None,
        me_sessions.listed,
        NoQuery,
        SessionList,
        "Where you are signed in.",
    ),
    ApiEndpoint(
        "end_my_session",
        "DELETE",
        "/me/sessions/<uuid:session_id>",
        ACCOUNT_WRITE,
        None,
        me_sessions.end,
        NoQuery,
        Removed,
        "End a session, and what lives no longer than it.",
    ),
    ApiEndpoint(
        "end_my_other_sessions",
        "DELETE",
        "/me/sessions",
        ACCOUNT_WRITE,
        None,
        me_sessions.end_others,
        NoQuery,
        Ended,
        "End every session but the one the access token came of.",
    ),
    ApiEndpoint(
        "my_grants",
        "GET",
        "/me/grants",
        ACCOUNT_READ,
        None,
        me_grants.listed,
        NoQuery,
        GrantList,
        "What you allowed applications.",
    ),
    ApiEndpoint(
        "withdraw_my_grant",
        "DELETE",
        "/me/grants/<uuid:grant_id>",
        ACCOUNT_WRITE,
        None,
        me_grants.withdraw,
        NoQuery,
        Withdrawn,
        "Take back what you allowed an application, and everything that stands on it.",
    ),
)
