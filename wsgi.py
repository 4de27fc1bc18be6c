"""The WSGI application, for any server: `granian --interface wsgi wsgi:application`, `gunicorn wsgi:application`."""

from app import create_app
from app.serving.sizing import tune_interpreter

tune_interpreter()
application = create_app()
