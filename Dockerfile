# Watchword's image: wheels from the lock, no compiler, no shell scripts at start, an unprivileged user,
# and nothing to write to but /var/lib/watchword and /tmp, so that it runs with a read-only root.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
COPY requirements/ requirements/
RUN python -m venv /opt/watchword \
    && /opt/watchword/bin/pip install --require-hashes --only-binary :all: -r requirements/run.txt
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY app/ app/
COPY templates/ templates/
COPY static/ static/
COPY migrations/ migrations/
COPY translations/ translations/
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index -w /wheels . \
    && /opt/watchword/bin/pip install --no-deps --no-index /wheels/*.whl \
    && /opt/watchword/bin/python -m compileall -q /opt/watchword \
    && /opt/watchword/bin/pip uninstall -q -y pip setuptools

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin watchword \
    && install -d -m 0700 -o watchword -g watchword /var/lib/watchword
COPY --from=build /opt/watchword /opt/watchword
COPY wsgi.py /opt/watchword/
COPY deploy/gunicorn.conf.py deploy/granian.sh deploy/health.py /opt/watchword/deploy/
ENV PATH=/opt/watchword/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WATCHWORD_HOST=0.0.0.0 \
    WATCHWORD_PORT=8000 \
    WATCHWORD_DATA_DIR=/var/lib/watchword
WORKDIR /opt/watchword
USER 10001:10001
VOLUME /var/lib/watchword
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["python", "/opt/watchword/deploy/health.py"]
ENTRYPOINT ["watchword"]
CMD ["serve"]
