"""A server that takes connections and never answers."""

import socket
from types import TracebackType


class Tarpit:
    """Holds whoever connects until the end of the block."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=50)
        self._held: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}/"

    def wait_for(self, connections: int) -> None:
        """Until so many are held."""
        self._listening.settimeout(30)
        while len(self._held) < connections:
            self._held.append(self._listening.accept()[0])

    def release(self) -> None:
        """Hang up on all, and take none any more."""
        for each in (self._listening, *self._held):
            each.close()
        self._held.clear()

    def __enter__(self) -> "Tarpit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
