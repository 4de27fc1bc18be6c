"""Runs the Node scripts of this folder: they ask for a browser, a `Person` walks, they report what they found."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.person import Person

FOLDER = Path(__file__).parent / "node"
SECONDS = 90


def run(name: str, person: Person, **options: Any) -> dict[str, Any]:
    """Run a script to its end and return its report; whatever it throws fails the test with its words."""
    command = ["node", str(FOLDER / f"{name}.mjs")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as script:
        try:
            return _converse(script, person, options)
        finally:
            script.kill()


def _converse(script: "subprocess.Popen[str]", person: Person, options: dict[str, Any]) -> dict[str, Any]:
    assert script.stdin
    assert script.stdout
    assert script.stderr
    _say(script, options)
    for line in script.stdout:
        said = json.loads(line)
        if "report" in said:
            found: dict[str, Any] = said["report"]
            return found
        _say(script, {"arrived": person.walk(said["browse"], said["until"])})
    raise AssertionError(script.stderr.read())


def _say(script: "subprocess.Popen[str]", words: dict[str, Any]) -> None:
    assert script.stdin
    script.stdin.write(json.dumps(words) + "\n")
    script.stdin.flush()
