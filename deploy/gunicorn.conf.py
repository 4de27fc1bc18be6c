"""For `gunicorn --config deploy/gunicorn.conf.py wsgi:application`: the same settings `watchword serve` uses.

Everything else comes from the `WATCHWORD_*` variables. The background worker runs beside it: `watchword worker`.
"""

import os

from app.infra import yaml
from app.kernel.settings import load
from app.serving.on_gunicorn import options

_settings = load(os.environ, parse_yaml=yaml.load)
globals().update(options(_settings, _settings.workers or len(os.sched_getaffinity(0))))
