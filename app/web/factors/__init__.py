"""The factors as pages show them: one file each, with how it is asked for (`ASKING`) and how it is added (`ADDING`).

What a factor is, and how it is checked, is `protocols.login.factors`' under the same id.
"""

from app.web.factors import email, passkey, password, recovery, sms, totp
from app.web.factors.views import Adding, Asking

RECOVERY = "recovery-codes"

ASKED: dict[str, Asking] = {
    "passkey": passkey.ASKING,
    "totp": totp.ASKING,
    "sms": sms.ASKING,
    "email": email.ASKING,
    "password": password.ASKING,
    "recovery": recovery.ASKING,
}
ADDED: dict[str, Adding] = {
    "passkey": passkey.ADDING,
    "totp": totp.ADDING,
    "sms": sms.ADDING,
    RECOVERY: recovery.ADDING,
}
FIRST: dict[str, Adding] = {"passkey": passkey.FIRST, "password": password.FIRST}
"""What somebody adds to sign in with who came by a link and has nothing else, the best first."""
