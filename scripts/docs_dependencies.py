"""Write docs/dependencies.md: every locked package with its version and licence, from the packages' metadata."""

import json
import re
from importlib.metadata import PackageMetadata, metadata
from pathlib import Path

PAGE = Path("docs/dependencies.md")
_CLASSIFIER = "License :: OSI Approved :: "


def main() -> None:
    """Read the locks and the installed packages; write the page."""
    run = _locked("requirements/run.txt")
    test = {name: version for name, version in _locked("requirements/test.txt").items() if name not in run}
    parts = [
        "# What Watchword is built on\n\nWritten by `make docs` from the locks and the packages' own metadata.\n",
        f"## In every installation ({len(run)})\n\n{_table(run)}",
        f"## For tests and the build only ({len(test)})\n\n{_table(test)}",
        f"## Node packages, for tests only\n\n{_node_table()}",
    ]
    PAGE.write_text("\n".join(parts), "utf-8")


def _locked(path: str) -> dict[str, str]:
    pairs = re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", Path(path).read_text("utf-8"), re.MULTILINE)
    return dict(pairs)


def _table(packages: dict[str, str]) -> str:
    rows = ["| package | version | licence | what it is |", "|---|---|---|---|"]
    for name, version in sorted(packages.items()):
        try:
            found = metadata(name)
        except ModuleNotFoundError:
            rows.append(f"| {name} | {version} | | only on other systems |")
            continue
        # No addresses in here: a page about licences is no place to send anybody from.
        summary = re.sub(r" *\([\w.-]+\.[a-z]{2,}\)", "", found["Summary"] or "").replace("|", "/").strip()
        rows.append(f"| {name} | {version} | {_licence(found)} | {summary} |")
    return "\n".join(rows) + "\n"


def _licence(found: PackageMetadata) -> str:
    if expression := found["License-Expression"]:
        return expression
    named = [
        line.removeprefix(_CLASSIFIER)
        for line in found.get_all("Classifier") or []
        if line.startswith(_CLASSIFIER)
    ]
    if named:
        return ", ".join(named)
    return (found["License"] or "not stated").splitlines()[0][:60]


def _node_table() -> str:
    rows = ["| package | version | licence |", "|---|---|---|"]
    packages = json.loads(Path("package-lock.json").read_text("utf-8"))["packages"]
    for path, package in sorted(packages.items()):
        if path:
            rows.append(
                f"| {path.removeprefix('node_modules/')} | {package['version']} | {package.get('license', '')} |"
            )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
