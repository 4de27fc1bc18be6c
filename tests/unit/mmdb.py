"""Writes small files in the MaxMind DB format 2.0, as an operator gets them from elsewhere."""

import ipaddress
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_STRING, _MAP, _UINT32, _UINT16, _UINT64, _ARRAY = 2, 7, 6, 5, 9, 11


def write(path: Path, records: dict[str, Any]) -> Path:
    """A file for IPv6 and, under `::/96`, IPv4, with a record for each network."""
    data, offsets = b"", {}
    for network, record in records.items():
        offsets[network] = len(data)
        data += _encode(record)
    nodes: list[list[int | None]] = [[None, None]]
    leaves: dict[tuple[int, int], str] = {}
    for network in records:
        _insert(nodes, leaves, network)
    tree = b"".join(
        _side(nodes, leaves, offsets, at, side).to_bytes(4, "big")
        for at in range(len(nodes))
        for side in (0, 1)
    )
    about = {
        "binary_format_major_version": (_UINT16, 2),
        "binary_format_minor_version": (_UINT16, 0),
        "build_epoch": (_UINT64, 1),
        "database_type": "Test",
        "description": {"en": "Places"},
        "languages": ["en"],
        "ip_version": (_UINT16, 6),
        "node_count": (_UINT32, len(nodes)),
        "record_size": (_UINT16, 32),
    }
    path.write_bytes(tree + bytes(16) + data + _MARKER + _encode(about))
    return path


def _insert(nodes: list[list[int | None]], leaves: dict[tuple[int, int], str], network: str) -> None:
    parsed = ipaddress.ip_network(network)
    length = parsed.prefixlen + (96 if parsed.version == 4 else 0)
    bits = f"{int(parsed.network_address):0128b}"[:length]
    at = 0
    for bit in map(int, bits[:-1]):
        following = nodes[at][bit]
        if following is None:
            nodes.append([None, None])
            following = nodes[at][bit] = len(nodes) - 1
        at = following
    leaves[at, int(bits[-1])] = network


def _side(
    nodes: list[list[int | None]],
    leaves: dict[tuple[int, int], str],
    offsets: dict[str, int],
    at: int,
    side: int,
) -> int:
    if (at, side) in leaves:
        return len(nodes) + 16 + offsets[leaves[at, side]]
    following = nodes[at][side]
    return len(nodes) if following is None else following


def _encode(value: Any) -> bytes:
    if isinstance(value, str):
        return _head(_STRING, len(value.encode())) + value.encode()
    if isinstance(value, dict):
        return _head(_MAP, len(value)) + b"".join(_encode(name) + _encode(v) for name, v in value.items())
    if isinstance(value, list):
        return _head(_ARRAY, len(value)) + b"".join(map(_encode, value))
    kind, number = value
    content = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return _head(kind, len(content)) + content


def _head(kind: int, size: int) -> bytes:
    assert size < 285
    first, rest = (size, b"") if size < 29 else (29, bytes([size - 29]))
    if kind < 8:
        return bytes([kind << 5 | first]) + rest
    return bytes([first, kind - 7]) + rest
