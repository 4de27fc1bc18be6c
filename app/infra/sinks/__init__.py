"""Where appended audit records are written besides the database. Each keeps its own place in every chain."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Sink(Protocol):
    """Takes records in the order of the chain, at least once; a record's `id` tells repetitions apart."""

    @property
    def name(self) -> str:
        """What its place in the chain is kept under."""
        ...

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write records. Raises `OSError` when they have to be offered again."""
        ...
