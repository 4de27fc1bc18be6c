#!/usr/bin/env bash
# Is there a Python that can make an environment? If not, name the command that brings it.
set -eu
python=${1:-python3}
need="sudo apt-get install -y git make python3 python3-venv"
fail() {
    printf '%s\nOn Debian or Ubuntu:\n\n    %s\n\n' "$1" "$need" >&2
    exit 1
}
command -v "$python" >/dev/null || fail "Watchword needs Python 3.11 or newer; there is no $python here."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Watchword needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Another one: make PYTHON=python3.13 ..."
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python cannot make virtual environments: its venv package is missing."
