# The proxy and the anchor process; the dev stack is not in it.
#   docker build -t dicomward .
#   docker run -v /etc/dicomward:/etc/dicomward:ro -v dicomward:/var/lib/dicomward dicomward serve --config /etc/dicomward/dicomward.toml
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/dicomward
COPY requirements.lock ./
RUN /opt/dicomward/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
# The build backend, pinned by the development lock, builds the wheel and stays behind in this stage.
COPY requirements-dev.lock pyproject.toml README.md LICENSE ./
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-dev.lock
COPY proxy ./proxy
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /build/dist . \
    && /opt/dicomward/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps /build/dist/*.whl

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/dicomward --create-home dicomward
COPY --from=build /opt/dicomward /opt/dicomward
USER 10001
WORKDIR /var/lib/dicomward
VOLUME /var/lib/dicomward
EXPOSE 8443 9464
ENTRYPOINT ["/opt/dicomward/bin/dicomward"]
CMD ["--help"]
