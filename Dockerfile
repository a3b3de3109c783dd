# One image for all services; the command says which: gunicorn -c python:app.gunicorn_conf "services.order:create_app()"
FROM python:3.13-slim AS base
ENV PATH=/waybill/.venv/bin:$PATH PYTHONPATH=/waybill PYTHONUNBUFFERED=1
WORKDIR /waybill

FROM base AS build
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --disable-pip-version-check --root-user-action=ignore \
    "uv$(sed -n 's/^required-version = "\(.*\)"/\1/p' pyproject.toml)"
# First what the lock file names, which changes rarely; then the code, which changes often.
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-default-groups
# For OTEL_PYTHON_TRACER_PROVIDER=lean and its like; not editable, since the image has no such folder.
COPY lean lean
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-default-groups --group lean --no-editable
COPY app app
COPY services services
COPY migrations migrations
RUN python -m compileall -q app services migrations

FROM build AS page
# Node is a wheel of the lock file.
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --only-group web --inexact
COPY web/package.json web/package-lock.json web/.npmrc web/
RUN --mount=type=cache,target=/root/.npm npm --prefix web ci --silent
COPY web web
RUN npm --prefix web run --silent build:storefront

# What sends orders, `docker compose --profile load up`: the `waybill` command.
FROM build AS load
COPY explorer explorer
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-default-groups --group local --no-editable
COPY services.toml .env ./
COPY local local
USER 10001:10001

FROM base
LABEL org.opencontainers.image.title="waybill" \
      org.opencontainers.image.description="A reference order service in Python that people can see through"
# The Collector's image has this user too, and no folder that is its own: a new volume mounted at /queue takes
# this one's owner with it.
RUN useradd --uid 10001 --no-create-home --home-dir /tmp waybill && install -d -o waybill -g waybill /queue
COPY --from=build /waybill/.venv .venv
COPY --from=build /waybill/app app
COPY --from=build /waybill/services services
COPY --from=build /waybill/migrations migrations
COPY --from=page /waybill/web/dist/storefront web/dist/storefront
USER 10001:10001
