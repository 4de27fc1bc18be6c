"""Recovery codes: for the day the telephone is lost. Each is good for one use."""

from sqlalchemy.orm import Session

from app.domain import authenticators


def verify(db: Session, pepper: bytes, user_id: str, typed: str) -> str | None:
    """Check a code and use it up. Gives why it is not good, or None. Wrong and used are not told apart."""
    return None if authenticators.use_recovery_code(db, pepper, user_id, typed) else "factor.code_wrong"
