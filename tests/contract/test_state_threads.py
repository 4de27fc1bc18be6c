"""Threads that are not Python's own come and go: a web server's pool ends those that are idle."""

import subprocess
import sys
from pathlib import Path

FOREIGN_THREADS = """
import ctypes, sys
from pathlib import Path
from app.infra.state import Increment, Key
from app.infra.state.sql import embedded

store = embedded(Path(sys.argv[1]))
counts = []

@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def work(_):
    counts.append(store.execute(Increment(Key("t", "count", "x"), 60)).results[0])

pthreads = ctypes.CDLL(None)
for _ in range(8):
    thread = ctypes.c_ulong()
    assert pthreads.pthread_create(ctypes.byref(thread), None, work, None) == 0
    assert pthreads.pthread_join(thread, None) == 0
store.close()
print(counts)
"""


def test_a_thread_of_the_web_server_ends_without_harm(tmp_path: Path) -> None:
    """Each has a connection, which closes with it."""
    done = subprocess.run(
        [sys.executable, "-c", FOREIGN_THREADS, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout.split() == ["[1,", "2,", "3,", "4,", "5,", "6,", "7,", "8]"]
