"""Where the installed `watchword` begins. It loads little, so that Ctrl-C ends it quietly at any moment."""

import sys
from typing import NoReturn

INTERRUPTED = 130
"""The exit status shells give to what SIGINT ended: 128 + 2."""


def main() -> NoReturn:
    """Run the command of `sys.argv` and exit with its status."""
    try:
        from app import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
