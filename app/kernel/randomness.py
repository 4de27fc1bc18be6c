"""Random bytes in small portions, without asking the system for each of them.

They are the system's own, drawn some hundred portions at a time: every system call lets go of the interpreter's lock,
and taking it again is what a busy server pays for. A forked child starts with none of its parent's.
"""

import os

PORTION = 16
_PORTIONS = 256

_drawn: list[bytes] = []


def portion() -> bytes:
    """Sixteen random bytes nobody else gets: `list.pop` is atomic."""
    try:
        return _drawn.pop()
    except IndexError:
        fresh = os.urandom(PORTION * _PORTIONS)
        _drawn.extend(fresh[at : at + PORTION] for at in range(PORTION, len(fresh), PORTION))
        return fresh[:PORTION]


os.register_at_fork(after_in_child=_drawn.clear)
