#!/bin/sh
# granian by itself, with the settings `watchword serve` uses; the background worker runs beside it: `watchword worker`.
# Without --respawn-failed-workers a killed worker ends the server; without --blocking-threads it makes hundreds.
set -eu
exec granian --interface wsgi \
    --host "${WATCHWORD_HOST:-127.0.0.1}" --port "${WATCHWORD_PORT:-8000}" \
    --workers "${WATCHWORD_WORKERS:-$(nproc)}" --respawn-failed-workers --workers-kill-timeout 20s \
    --http 1 --http1-header-read-timeout 15000 \
    --blocking-threads 48 --backpressure 144 --backlog 1024 \
    --no-ws --log-level error wsgi:application
