"""Audit records as JSON lines on standard output, for whatever collects it.

The newest line of each tenant also anchors the chain outside the database: `watchword audit verify --head` takes its
`hash`, so that a chain cut short at its end is noticed even by somebody who may change every table.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO


class StdoutSink:
    """Writes to `stream`, standard output by default."""

    name = "stdout"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write and flush one line per record. Raises `OSError` when nobody reads any more."""
        stream = self._stream or sys.stdout
        stream.write("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
        stream.flush()
