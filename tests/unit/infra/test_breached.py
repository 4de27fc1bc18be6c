"""Leaked passwords: found in a file and by a service, which learns five characters of a hash and no more."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.infra.breached import BreachedFile, BreachedService, NoList, configured
from app.infra.fetch import Fetcher

LEAKED = "leaked long ago"


def sha1(password: str) -> str:
    return hashlib.sha1(password.encode()).hexdigest().upper()


class Service:
    """A range service, as published ones work."""

    def __init__(self) -> None:
        service = self
        self.asked: list[str] = []
        self.status, self.kind = 200, "text/plain"
        self.lines = [f"{sha1(LEAKED)[5:]}:7", f"{sha1('padding')[5:]}:0", "0" * 35 + ":3"]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.asked.append(self.path)
                body = "\r\n".join(service.lines).encode()
                self.send_response(service.status)
                self.send_header("Content-Type", service.kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/range"


@pytest.fixture
def service() -> Iterator[Service]:
    found = Service()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def asking(service: Service) -> BreachedService:
    return BreachedService(Fetcher(("127.0.0.1",)), service.url)


def test_service_learns_five_characters_of_the_hash(service: Service) -> None:
    assert asking(service).knows(LEAKED)
    assert not asking(service).knows("nobody ever leaked this")
    assert service.asked == [f"/range/{sha1(LEAKED)[:5]}", f"/range/{sha1('nobody ever leaked this')[:5]}"]


def test_padding_is_no_leak(service: Service) -> None:
    """Lines with a count of 0 hide how long the answer is."""
    assert not asking(service).knows("padding")


@pytest.mark.parametrize(("status", "kind"), [(503, "text/plain"), (429, "text/plain"), (200, "text/html")])
def test_what_is_no_answer_keeps_nobody_from_a_new_password(service: Service, status: int, kind: str) -> None:
    service.status, service.kind = status, kind
    assert not asking(service).knows(LEAKED)


def test_a_service_that_is_away_keeps_nobody_from_a_new_password() -> None:
    service = Service()
    service.server.server_close()
    assert not asking(service).knows(LEAKED)


def test_every_line_of_a_file_is_found(tmp_path: Path) -> None:
    passwords = [f"leaked {n}" for n in range(200)]
    file = tmp_path / "leaked.txt"
    file.write_text("".join(f"{line}:{n}\r\n" for n, line in enumerate(sorted(map(sha1, passwords)))))
    assert all(BreachedFile(file).knows(password) for password in passwords)
    assert not any(BreachedFile(file).knows(password + "!") for password in passwords)


@pytest.mark.parametrize("content", [b"", b"\n", b"no hashes\n", b"\xff" * 100])
def test_a_file_that_is_no_list_keeps_nobody_from_a_new_password(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "leaked.txt"
    file.write_bytes(content)
    assert not BreachedFile(file).knows(LEAKED)
    assert not BreachedFile(tmp_path / "missing").knows(LEAKED)


def test_the_setting_says_which(tmp_path: Path) -> None:
    fetcher = Fetcher()
    assert isinstance(configured("", fetcher), NoList)
    assert isinstance(configured("https://leaks.example.com/range", fetcher), BreachedService)
    assert isinstance(configured(str(tmp_path), fetcher), BreachedFile)
