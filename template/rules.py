"""What a project takes from this repository, and what is different in it: data for render.py."""

Rule = tuple[str, str]
"""A regular expression, `^` and `$` at any line, and its replacement, which can name {name}, {package} and {port}."""

SKELETON = "skeleton"

TREES = {
    "app": "{package}/kit",
    f"services/{SKELETON}": "{package}/service",
    f"migrations/{SKELETON}": "migrations/versions",
    "tests/app": "tests/kit",
    f"tests/{SKELETON}": "tests/service",
}
"""Folders that are copied, but for LEFT_OUT."""

LEFT_OUT = (
    # A service without a page.
    "app/page.py",
    "tests/app/test_page.py",
    # How the kit behaves in outages, against hostile clients and with every variable is tested where it is developed:
    # these take minutes.
    "tests/app/forked_probe.py",
    "tests/app/failing_statements.py",
    "tests/app/test_export.py",
    "tests/app/test_http_client.py",
    "tests/app/test_otel_variables.py",
    "tests/app/test_refusals.py",
    "tests/app/test_slow_clients.py",
    "tests/app/test_start.py",
    "tests/app/test_trust_boundary.py",
    "tests/app/test_values_in_errors.py",
)

FILES_OF_CALLS = ("clients.py", "conftest.py", "test_calls.py")
"""Files of the skeleton that a service without calls does not have."""
CODE_OF_CALLS = (
    "        dependencies={Clients: Clients(settings)},\n",
    "clients: Clients, ",
    "svcs.flask.get(Clients), ",
    " 502,",
    ", dependency: Dependency",
)
"""What it does not have in its other files, besides the lines that name the service that is called."""

FILES: dict[str, tuple[Rule, ...]] = {
    "services/skeleton/README.md": (
        (r":\n\[why\]\(.*\)\.", "."),
        (r"`telemetry\.yaml`; .*", "`telemetry.py`."),
        (r"localhost:\d+", "localhost:{port}"),
    ),
    "services/skeleton/settings.py": ((rf"\b{SKELETON}\.db", "{name}.db"),),
    # A project writes its telemetry.py by hand.
    "services/skeleton/telemetry.py": (
        (r"\n\nGenerated from telemetry\.yaml\..*\n", ""),
        (rf"(?<!\.)\b{SKELETON}\b(?!-)", "{package}"),
    ),
    "services/skeleton/use_cases.py": ((rf"(?<!\.)\b{SKELETON}\b", "{package}"),),
    f"tests/{SKELETON}/test_notes.py": (
        (rf'start_service\(\s*"{SKELETON}",\s*', "start_service("),
        (rf"(?<!\.)\b{SKELETON}\b(?!-)", "service"),
    ),
    "migrations/env.py": (
        (
            r"the same for every service: the section of alembic.ini names the service",
            "for settings from the environment",
        ),
        (r"^from importlib import import_module\n", ""),
        (
            r"^from app\.database import LOCK_WAIT, UtcDateTime\n",
            r"\g<0>from {package}.service.models import Base\n"
            r"from {package}.service.settings import DatabaseSettings\n",
        ),
        (r"^service = .*\n", ""),
        (r"^metadata = .*\n", ""),
        (r"^# Of the service's settings.*\nsettings = .*\n", ""),
        (r"load_settings\(settings\)", "load_settings(DatabaseSettings)"),
        (r"target_metadata=metadata", "target_metadata=Base.metadata"),
    ),
    "Dockerfile": (
        (r"\A#.*\n", ""),
        (r"(?s)^FROM build AS page\n.*?(?=^FROM base\n)", ""),
        (r"^COPY --from=page .*\n", ""),
        (r"(?s)^# For OTEL_PYTHON_TRACER_PROVIDER.*?(?=^COPY app )", ""),
        (r"^COPY app app\nCOPY services services\n", "COPY {package} {package}\n"),
        (r"compileall -q app services", "compileall -q {package}"),
        (
            r"^COPY --from=build /waybill/app app\nCOPY --from=build /waybill/services services\n",
            "COPY --from=build /waybill/{package} {package}\n",
        ),
        (r"(?s)^LABEL .*?\n(?=#)", 'LABEL org.opencontainers.image.title="{name}"\n'),
        (
            r"(?s)^# The Collector's image.*?(?=^RUN useradd)",
            "# A new volume mounted at /data takes its owner with it.\n",
        ),
        (r"waybill && install .*", "{name} && install -d -o {name} -g {name} /data"),
        (r"/waybill", "/srv/{name}"),
    ),
    ".github/workflows/ci.yml": (
        (r"(?s)\n  projects:\n.*", ""),
        (r"^ *# The runner image .*\n", ""),
        (r"timeout-minutes: 45", "timeout-minutes: 15"),
    ),
    ".github/dependabot.yml": ((r"(?s)^  - package-ecosystem: npm\n.*?(?=^  - package-ecosystem: docker\n)", ""),),
    "jaeger/config.yaml": (
        (r"(?s)^    metric_backends:\n.*?(?=^  jaeger_query:)", ""),
        (r", metrics: span_metrics", ""),
        (r"^    ui: .*\n", ""),
    ),
    "migrations/script.py.mako": (),
    ".editorconfig": (),
    "tests/__init__.py": (),
    "tests/support/__init__.py": (),
    "tests/support/dependencies.py": (),
    "tests/support/processes.py": (),
    "tests/support/raw_http.py": (),
    "tests/support/service_process.py": (),
    "tests/support/stub_server.py": (),
    "tests/support/telemetry_receiver.py": (),
    "tests/support/waiting.py": (),
    "local/process_group.py": (),
}
"""Files that are copied, and what is different in them. Each rule must match."""

RENAMED = {"local/process_group.py": "tests/support/process_group.py"}
"""Files that are in another place, besides those of TREES."""

OPTIONS: dict[str, dict[str, tuple[Rule, ...]]] = {
    # Its projects have neither the driver nor a server of PostgreSQL.
    "sqlite": {
        "tests/app/test_database.py": (
            (r', "postgresql\+psycopg://[^"]*"', ","),
            (r"(?s)\n\n\ndef test_a_url_as_most_hosters_print_it_works.*?(?=\n\n\n|\n\Z)", ""),
        ),
    },
    "cache": {
        f"services/{SKELETON}/settings.py": (
            (r"\bDatabaseUrl, ", "DatabaseUrl, RedisUrl, "),
            (r"\Z", '\n    cache_url: RedisUrl = SecretStr("redis://127.0.0.1:6379/0")\n'),
        ),
        f"services/{SKELETON}/__init__.py": (
            (r"^from app\.config import load_settings\n", r"from app.cache import Cache\n\g<0>"),
            (
                r"^        metadata=Base\.metadata,\n",
                r"\g<0>        dependencies={Cache: cache},\n",
            ),
            (
                r"^    return create_service\(\n",
                "    cache = Cache(settings.cache_url.get_secret_value(), ttl=60, pool_size=settings.threads)\n"
                r"\g<0>",
            ),
        ),
        f"services/{SKELETON}/routes.py": (
            (r"^from app\.database import", r"from app.cache import Cache\n\g<0>"),
            (
                r"(?s)^    note = use_cases\.get_note\(.*?\)\n(    if note is None:\n.*?\n)    return .*?\n",
                """
    def load() -> NoteResponse | None:
        found = use_cases.get_note(read_session(), path.note_id)
        return None if found is None else NoteResponse.model_validate(found)

    note = svcs.flask.get(Cache).get_or_load(f"note:{path.note_id}", NoteResponse, load)
\\1    return note.model_dump(mode="json")
""",
            ),
        ),
    },
    "background_task": {
        f"services/{SKELETON}/settings.py": (
            (r"^from pydantic import ", r"\g<0>Field, "),
            (
                r"\Z",
                "\n    retention_days: int = Field(default=365, ge=1)\n"
                '    """Older notes are deleted by the background task."""\n',
            ),
        ),
        f"services/{SKELETON}/__init__.py": (
            (r"^from flask import Flask\n", r"from datetime import timedelta\n\n\g<0>"),
            (
                r"^from app\.config import load_settings\n",
                r"from app.background import Task\n\g<0>from app.database import write_session\n",
            ),
            (
                rf"^from services\.{SKELETON}\.settings import Settings\n",
                rf"\g<0>from services.{SKELETON}.use_cases import delete_old_notes\n",
            ),
            (
                r"^    return create_service\(\n",
                "    age = timedelta(days=settings.retention_days)\n"
                '    cleanup = Task("cleanup", interval=60, run=lambda: delete_old_notes(write_session(), age))\n'
                r"\g<0>",
            ),
            (r"^        metadata=Base\.metadata,\n", r"\g<0>        background=(cleanup,),\n"),
        ),
        f"services/{SKELETON}/use_cases.py": (
            (r"^import uuid\n", r"\g<0>from datetime import timedelta\n"),
            (r"^from sqlalchemy\.orm import Session\n", r"from sqlalchemy import delete, select\n\g<0>"),
            (r"^from app\.database import ", r"\g<0>DatabaseTime, "),
            (
                r"^def _record\(",
                '''def delete_old_notes(session: Session, age: timedelta) -> bool:
    """Delete some of the notes that are older; return whether there are more."""
    with session.begin():
        old = select(Note.id).where(Note.created_at < DatabaseTime(-age)).limit(BATCH)
        found = session.scalars(old).all()
        session.execute(delete(Note).where(Note.id.in_(found)))
    return len(found) == BATCH


\\g<0>''',
            ),
            (
                r"^def keep_note",
                '''BATCH = 100
"""Notes that are deleted in one transaction."""


\\g<0>''',
            ),
        ),
    },
}
"""What an answer adds to the files of the skeleton."""

ANYWHERE: tuple[Rule, ...] = (
    (r"^(\s*)(from|import) app\b", r"\1\2 {package}.kit"),
    (r"(python:|\")app\.(?=\w+)", r"\1{package}.kit."),
    (r"\bapp(?=/\w+\.py)", "{package}/kit"),
    (r"\btests\.app\b", "tests.kit"),
    (rf"\btests\.{SKELETON}\b", "tests.service"),
    (r"\blocal\.process_group\b", "tests.support.process_group"),
    (rf"\bservices\.{SKELETON}\b", "{package}.service"),
    (r"^from services import", "from {package} import"),
    (rf"\b{SKELETON}-service\b", "{name}"),
    (r"\btag:waybill\.example\b", "tag:{name}.example"),
    (r"\bWaybill(?= needs)", "{name}"),
    (r"\bwaybill(?=-pg-)", "{name}"),
    (r"\bwaybill\b", "{package}"),
    (r"\bshop(?=\"|\.py)", "office"),
)
"""In every file that is copied; none of them has to match."""
