"""No state at all: what a request costs without any trip to a state store ("bare"). Bench only.

Nothing is counted, kept or found, so only what needs no state can be measured: machines' tokens, asking about them,
and published documents.
"""

from collections.abc import Sequence

from app.infra.state import Entry, Increment, Op, Outcome, Replay


class NoState:
    """A StateStore that answers at once: counters are at zero, and nothing is there."""

    def execute(self, *operations: Op) -> Outcome:
        """Carry out nothing."""
        return Outcome(tuple([0 if type(operation) is Increment else None for operation in operations]))

    def guard(self, replay: Replay) -> None:
        """Nothing to replay."""

    def read_stream(
        self, tenant_ids: Sequence[str], stream: str, consumer: str, *, count: int
    ) -> dict[str, list[Entry]]:
        """Nothing."""
        return {}

    def acknowledge(self, tenant_id: str, stream: str, entry_ids: Sequence[str]) -> None:
        """Nothing to forget."""

    def purge_expired(self) -> int:
        """Nothing to do."""
        return 0

    def check(self) -> None:
        """Always there."""

    def doctor(self) -> list[str]:
        """Nothing to say."""
        return []

    def close(self) -> None:
        """Nothing to close."""
