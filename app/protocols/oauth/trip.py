"""The operations of one request on the state store, gathered so that they make one trip."""

from typing import Any, Protocol

from app.infra.state import Op, Outcome
from app.protocols.oauth.errors import Case


class Executes(Protocol):
    """The one thing asked of the state store."""

    def execute(self, *operations: Op) -> Outcome:
        """Carry out a batch atomically."""
        ...


class Trip:
    """Operations in the order they were added, each with the case its being refused means."""

    __slots__ = ("_cases", "_operations", "_state")

    def __init__(self, state: Executes) -> None:
        self._state = state
        self._operations: list[Op] = []
        self._cases: list[Case | None] = []

    def add(self, operation: Op, refused: Case | None = None) -> int:
        """Add an operation; gives the place its result will have."""
        self._operations.append(operation)
        self._cases.append(refused)
        return len(self._operations) - 1

    def go(self) -> tuple[Any, ...]:
        """Carry out what was gathered, if anything, and begin anew. Gives the results in order.

        Raises `OAuthError` as the refused operation says, and `Unavailable`.
        """
        if not self._operations:
            return ()
        operations, cases = self._operations, self._cases
        self._operations, self._cases = [], []
        outcome = self._state.execute(*operations)
        if outcome.refused is not None:
            case = cases[outcome.refused]
            if case is None:
                raise RuntimeError("an operation was refused that nobody expected to be")
            raise case(retry_after_seconds=outcome.retry_after_seconds)
        return outcome.results
