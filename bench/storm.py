"""A sign-in storm: people sign in faster than passwords can be hashed, while a service goes on asking for tokens.

Sign-ins are offered at a fixed rate whether or not they are answered (an open loop), each by a browser of its own that
has opened the sign-in page before. Beside them a client asks for tokens at a steady rate, in quiet and in the storm.
The generators are processes of their own. What they and everything else on the machine take of its cores is told apart
and counts neither for nor against the server.
"""

import multiprocessing
import multiprocessing.pool
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from app.domain import users
from app.infra.passwords import Passwords
from app.kernel.ids import new_id
from bench import processes, scenarios
from bench.deployments import CLIENT_ID, REDIRECT_URI, Running
from bench.load import Connection, request
from bench.open_loop import send
from bench.scenarios import CHALLENGE

PASSWORD = "correct-horse-battery"
TOKENS_PER_SECOND = 100.0
QUIET_SECONDS, HASHING_SECONDS = 20.0, 2.0
"""Of a hundred tokens a second for eight seconds, the 99th percentile is the eighth of the slowest: it was 2 in one run
and 7 in the next."""

_CSRF = re.compile(rb'name="csrf_token" value="([^"]+)"')
_COOKIE = re.compile(rb"set-cookie: ([^;\r]+)", re.IGNORECASE)
_LOCATION = re.compile(rb"location: ([^\r]+)", re.IGNORECASE)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Storm:
    """What a storm showed. Latencies in milliseconds, rates per second."""

    server: str
    configuration: str
    offered: float
    ceiling: float
    """Passwords the cores can hash, less what was taken of them elsewhere."""
    elsewhere: float
    """Cores taken by the generators and by whatever else ran on the machine."""
    generators: float
    """Cores taken by the generators alone."""
    served: float
    busy: float
    """Refused with 503 and `Retry-After`."""
    wrong: int
    """Answered in any other way, or not at all."""
    sign_in_p50: float
    token_p50: tuple[float, float]
    """In quiet and in the storm."""
    token_p99: tuple[float, float]

    @property
    def share(self) -> float:
        """Of the sign-ins that could be served, those that were."""
        return self.served / min(self.ceiling, self.offered)

    @property
    def slowed(self) -> float:
        """How many times as long a token took in the storm, 99th percentile."""
        return self.token_p99[1] / self.token_p99[0]


def run(running: Running, offered: float, seconds: float) -> Storm:
    """Measure one storm."""
    sign_ins = _prepare(running, int(offered * seconds))
    token = _token(running)
    with multiprocessing.get_context("spawn").Pool(max(2, _cores())) as pool:
        pool.apply(send, _tokens(running.url, token, 1.0))
        quiet = pool.apply(send, _tokens(running.url, token, QUIET_SECONDS))
        hash_before = _hash_seconds(pool)
        busy, used, started = _busy_seconds(), _used(running), time.perf_counter()
        tokens = pool.apply_async(send, _tokens(running.url, token, seconds))
        signed = pool.apply_async(send, (running.url, sign_ins, offered, b'http-equiv="refresh"'))
        people, stormy = signed.get(), tokens.get()
        lasted = time.perf_counter() - started
        elsewhere = (_busy_seconds() - busy - (_used(running) - used)) / lasted
        hash_after = _hash_seconds(pool)
    return Storm(
        server=running.server,
        configuration=running.configuration,
        offered=offered,
        ceiling=(_cores() - elsewhere) * 2 / (hash_before + hash_after),
        elsewhere=elsewhere,
        generators=(people.cpu_seconds + stormy.cpu_seconds) / lasted,
        served=people.answers.get("served", 0) / people.seconds,
        busy=people.answers.get("busy", 0) / people.seconds,
        wrong=sum(n for answer, n in people.answers.items() if answer not in ("served", "busy"))
        + sum(n for answer, n in stormy.answers.items() if answer != "served"),
        sign_in_p50=people.percentile(0.5),
        token_p50=(quiet.percentile(0.5), stormy.percentile(0.5)),
        token_p99=(quiet.percentile(0.99), stormy.percentile(0.99)),
    )


def _used(running: Running) -> float:
    """CPU time of the server so far. Processes that hash are there from the first password on."""
    return processes.cpu_seconds(processes.tree(running.web_pid))


def _token(running: Running) -> bytes:
    form = [("grant_type", "client_credentials"), ("scope", "read")]
    return request(
        "POST", running.url + "/token", form=form, Authorization=scenarios.basic(), Connection="close"
    )


def _tokens(url: str, token: bytes, seconds: float) -> tuple[str, list[tuple[str, bytes]], float, bytes]:
    return url, [("127.0.0.1", token)] * int(TOKENS_PER_SECOND * seconds), TOKENS_PER_SECOND, b"access_token"


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _busy_seconds() -> float:
    """CPU time the machine's cores have spent on anything so far."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    spent = dict(
        zip(names, map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]), strict=True)
    )
    return sum(n for name, n in spent.items() if name not in ("idle", "iowait")) / _TICKS


def _hash_seconds(pool: "multiprocessing.pool.Pool") -> float:
    """CPU time of one password while every core hashes."""
    found: list[tuple[int, float]] = pool.map(_hash_on, [HASHING_SECONDS] * _cores(), chunksize=1)
    return sum(cpu for _, cpu in found) / sum(count for count, _ in found)


def _hash_on(seconds: float) -> tuple[int, float]:
    """Hash for so long: how many, and the CPU time they took."""
    passwords, count = Passwords(1), 0
    stored = passwords.hash(PASSWORD)
    end, used = time.perf_counter() + seconds, time.process_time()
    while time.perf_counter() < end:
        passwords.verify(PASSWORD, stored)
        count += 1
    return count, time.process_time() - used


def _prepare(running: Running, count: int) -> list[tuple[str, bytes]]:
    """As many people at their sign-in pages: where each is, and the request the button will send."""
    services = running.services
    assert services is not None
    stored, names = services.passwords.hash(PASSWORD), [f"p-{new_id()}" for _ in range(count)]
    with services.tenancy.session(services.tenants.default().id, write=True) as session:
        for name in names:
            users.create(session, username=name, password_hash=stored)
    places = [f"127.77.{number // 250 % 250}.{1 + number % 250}" for number in range(count)]
    return [(place, _at_the_page(running, name, place)) for place, name in zip(places, names, strict=True)]


def _at_the_page(running: Running, name: str, place: str) -> bytes:
    """Open the authorization endpoint and its page, from one of many addresses: limits are by network."""
    host, _, port = running.url.removeprefix("http://").partition(":")
    connection = Connection(host, int(port), source=place)
    query = (
        f"client_id={CLIENT_ID}&redirect_uri={REDIRECT_URI}&response_type=code&scope=openid&state=s&nonce=n"
        f"&code_challenge={CHALLENGE}&code_challenge_method=S256"
    )
    _, head, _ = connection.send(request("GET", f"{running.url}/authorize?{query}"))
    cookies = _COOKIE.findall(head)
    found = _LOCATION.search(head)
    assert found, head
    page = running.url + found[1].decode()
    _, head, body = connection.send(request("GET", page, Cookie=b"; ".join(cookies).decode()))
    token = _CSRF.search(body)
    assert token, body
    connection.close()
    cookies = list({cookie.partition(b"=")[0]: cookie for cookie in cookies + _COOKIE.findall(head)}.values())
    form = [
        ("csrf_token", token[1].decode()),
        ("step", "sign-in"),
        ("username", name),
        ("password", PASSWORD),
    ]
    return request(
        "POST", page, form=form, Cookie=b"; ".join(cookies).decode(), Origin=running.url, Connection="close"
    )


def markdown(storms: list[Storm]) -> str:
    """The storms as they stand in the documentation."""
    head = (
        "| server | configuration | offered per s | ceiling per s | served | 503 | share | sign-in p50 ms "
        "| token p50 ms, quiet / storm | token p99 ms, quiet / storm | times | cores elsewhere, of generators |"
    )
    lines = [head, "|---" * 12 + "|"]
    lines += [
        f"| {s.server} | {s.configuration} | {s.offered:.0f} | {s.ceiling:.0f} | {s.served:.1f} | {s.busy:.1f} "
        f"| {s.share:.2f} | {s.sign_in_p50:.0f} | {s.token_p50[0]:.2f} / {s.token_p50[1]:.2f} "
        f"| {s.token_p99[0]:.2f} / {s.token_p99[1]:.2f} | {s.slowed:.1f} | {s.elsewhere:.2f}, {s.generators:.2f} |"
        for s in storms
    ]
    return "\n".join([*lines, ""])


def missed(storms: list[Storm], offered: float) -> list[str]:
    """Which gates are missed, in words. Who is refused is told so in any storm; how many are served, and how tokens go
    on, has limits where `offered` a second sign in. More than that is a report."""
    found = []
    for s in storms:
        where = f"storm, {s.server}/{s.configuration}, {s.offered:.0f} offered"
        if s.wrong:
            found.append(f"{where}: {s.wrong} answered neither with a sign-in nor with 503 and Retry-After")
        if s.offered != offered:
            continue
        if s.share < 0.9:
            found.append(f"{where}: {s.share:.2f} of the ceiling served, the gate is 0.9")
        if s.slowed > 3:
            found.append(f"{where}: tokens took {s.slowed:.1f} times as long, the gate is 3")
    return found
