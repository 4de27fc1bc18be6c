#!/usr/bin/env bash
# Fill .venv from a lock: `install.sh run` or `install.sh test`. Only wheels, only what the hashes name.
set -eu
set_name=$1
bin=.venv/bin
locked() {
    # uv is quick but knows nothing of a mirror that is configured for pip alone; pip is the way round.
    "$bin/uv" pip install -q --compile-bytecode --python "$bin/python" --require-hashes --only-binary :all: -r "$1" ||
        "$bin/python" -m pip install -q --require-hashes --only-binary :all: -r "$1"
}
locked "requirements/$set_name.txt"
if [ "$set_name" = run ]; then
    # The build backend comes from a lock too, so that building fetches nothing.
    locked requirements/build.txt
    "$bin/python" -m pip install -q --no-deps --no-build-isolation --no-index -e .
fi
