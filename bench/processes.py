"""The CPU time a tree of processes has used."""

from pathlib import Path


def tree(root: int) -> list[int]:
    """A process and its descendants, by id."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += parents.get(pid, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Time these processes' threads have run so far, as the scheduler counted it, in nanoseconds."""
    return sum(_nanoseconds(task) for pid in pids for task in Path(f"/proc/{pid}/task").glob("*")) / 1e9


def _nanoseconds(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text().split()[0])
    except (OSError, IndexError, ValueError):  # It ended meanwhile.
        return 0


def resident_bytes(pids: list[int]) -> int:
    """Memory of these processes, shared pages counted once each as their share (PSS)."""
    total = 0
    for pid in pids:
        try:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total
