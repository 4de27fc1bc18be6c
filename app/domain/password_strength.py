"""How hard a password is to guess: an estimate by zxcvbn, shown to the person and never a reason to refuse."""

from zxcvbn import zxcvbn

MOST_CHARACTERS = 20
"""The estimate tries every way to read a text, so it is of the beginning of a long one: that is a lower bound, and at
most some forty milliseconds."""


def of(password: str) -> int:
    """0 (guessed at once) to 4 (not to be guessed)."""
    if not password:
        return 0
    # Without inputs of the caller's: the library keeps those for whoever comes next.
    score: int = zxcvbn(password[:MOST_CHARACTERS])["score"]
    return score
