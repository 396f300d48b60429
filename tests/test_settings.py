"""Every setting: its default, the values that it accepts, and the error for a wrong value."""

import asyncio
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import ValidationError

import main
from config import INVISIBLE, NEVER_BLANK, ROOT, Settings, get_settings
from database import Database
from development.signing_secret import signing_secret
from errors import DatabaseUnavailable
from mcp_server.settings import HttpSettings, StdioSettings
from postgres import driver
from postgres.url import postgres_url
from tests.support.environment import ENV_FILE
from tests.support.processes import unprivileged
from tests.support.settings import PRODUCTION, SECRET, URL, read

NEON = (
    "postgresql://neondb_owner:npg_Secret1@ep-cool-rain-123456-pooler.eu-central-1.aws.neon.tech"
    "/neondb?sslmode=require&channel_binding=require"
)
DEFAULTS: dict[str, Any] = {
    "environment": "development",
    "database_url": None,
    "migration_database_url": None,
    "better_auth_secret": None,
    "better_auth_url": None,
    "jwks_url": None,
    "jwt_issuer": (),
    "jwt_audience": (),
    "allowed_origins": ("http://localhost:3000",),
    "host": "",
    "port": 8000,
    "root_path": "",
    "forwarded_allow_ips": (),
    "log_level": "info",
    "access_log": None,
    "slow_request_ms": 500,
    "db_pool_size": 10,
    "db_max_overflow": 20,
    "db_prepared_statements": True,
    "max_waiting": 2000,
    "reuse_port": False,
    "web_concurrency": 1,
    "shutdown_timeout": 6,
    "docs_enabled": True,
    "contact_url": None,
    "data_dir": ROOT / ".data",
    "dev_db_port": None,
}


def test_development_needs_no_settings(environment: pytest.MonkeyPatch) -> None:
    assert read(environment).model_dump() == DEFAULTS


def test_an_empty_setting_counts_as_unset(environment: pytest.MonkeyPatch) -> None:
    empty = {name.upper(): "" for name in Settings.model_fields}
    assert read(environment, **empty).model_dump() == DEFAULTS


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ENVIRONMENT", "development", "development"),
        ("ENVIRONMENT", " Development ", "development"),
        ("JWT_ISSUER", " https://auth.example ", ("https://auth.example",)),
        ("JWT_ISSUER", "https://a.example, b,", ("https://a.example", "b")),
        ("JWT_AUDIENCE", "tasks", ("tasks",)),
        ("BETTER_AUTH_URL", "http://app.example.com/auth", "http://app.example.com/auth"),
        ("REUSE_PORT", "true", True),
        ("WEB_CONCURRENCY", "4", 4),
        ("ALLOWED_ORIGINS", "https://a.example", ("https://a.example",)),
        (
            "ALLOWED_ORIGINS",
            "http://localhost:3000, https://b.example ,http://[::1]:8080,",
            ("http://localhost:3000", "https://b.example", "http://[::1]:8080"),
        ),
        (
            "ALLOWED_ORIGINS",
            "capacitor://localhost,https://app-*-team.example.app",
            ("capacitor://localhost", "https://app-*-team.example.app"),
        ),
        ("HOST", "::", "::"),
        ("PORT", "1", 1),
        ("PORT", "65535", 65535),
        ("ROOT_PATH", "/backend/v1", "/backend/v1"),
        ("FORWARDED_ALLOW_IPS", "*", ("*",)),
        ("FORWARDED_ALLOW_IPS", "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        ("LOG_LEVEL", "DEBUG", "debug"),
        ("LOG_LEVEL", "warning", "warning"),
        ("ACCESS_LOG", "true", True),
        ("ACCESS_LOG", "0", False),
        ("SLOW_REQUEST_MS", "0", 0),
        ("DB_POOL_SIZE", "1", 1),
        ("DB_MAX_OVERFLOW", "0", 0),
        ("DB_PREPARED_STATEMENTS", "false", False),
        ("MAX_WAITING", "0", 0),
        ("SHUTDOWN_TIMEOUT", "1", 1),
        ("DOCS_ENABLED", "false", False),
        ("DATA_DIR", "/somewhere", Path("/somewhere")),
        ("DEV_DB_PORT", "5433", 5433),
    ],
)
def test_a_valid_setting_is_accepted(
    environment: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    assert getattr(read(environment, **{name: text}), name.lower()) == value


WRONG_WEB_URLS = [
    "frontend.example",
    "localhost:3000",
    "ftp://frontend.example",
    "//frontend.example",
    "https:frontend.example",
    "http://",
    "https://owner:pass-word@frontend.example",
    "https://frontend.example?pass-word",
    "https://frontend.example/#pass-word",
    "https://frontend.example:0",
    "https://frontend.example:65536",
    "https://frontend.example:",
    "https://frontend.example:http",
    "https://frontend example",
    "https://frontend.example/pass-word here",
    "https://frontend.example/\npass-word",
    "https://[::1",
    "https://b\u00fccher.example",
]
WRONG: list[tuple[str, list[str]]] = [
    ("ENVIRONMENT", ["staging", "prod"]),
    (
        "DATABASE_URL",
        [
            "mysql://owner:pass-word@db.example/tasks",
            "sqlite:///pass-word.db",
            "postgresql+asyncpg://owner:pass-word@db.example/tasks",
            "pass-word",
            "postgresql:pass-word",
            "postgresql://owner:pass-word@db.example:port/tasks",
            f"{URL}?pass-word=1",
            f"{URL}?sslmode=require&nonsense=pass-word",
            "host=db.example password=pass-word",
        ],
    ),
    ("MIGRATION_DATABASE_URL", ["mysql://owner:pass-word@db.example/tasks", f"{URL}?nonsense=1"]),
    (
        "BETTER_AUTH_SECRET",
        ["pass-word" + "x" * 22, "x", "é" * 31, " " * 40, "pass-word\udcff" + "x" * 32],
    ),
    *((name, WRONG_WEB_URLS) for name in ("BETTER_AUTH_URL", "JWKS_URL", "CONTACT_URL")),
    (
        "ALLOWED_ORIGINS",
        [
            "*",
            "https://a.example,*",
            "https://*.example",
            "https://*.team.example",
            "https://app-*.example",
            "https://app-*-*.team.example",
            "https://app.*.team.example",
            "capacitor://*",
            "https://a.example/",
            "https://a.example/path",
            "https://a.example?x",
            "a.example",
            "ftp://a.example",
            "file://",
            "capacitor:localhost",
            "null",
            "https://owner:pass-word@a.example",
            "https://A.example",
            "https://a.example https://b.example",
            "https://a.example:65536",
            "https://a.example:443",
            "http://a.example:80",
            "http://a.example:0",
        ],
    ),
    *((name, [",", " , ", "  "]) for name in ("JWT_ISSUER", "JWT_AUDIENCE")),
    ("HOST", ["[::1]", "0.0.0.0:8000", "http://a.example", "a b", "\udcff"]),
    ("PORT", ["-1", "65536", "http", "80.5", "80a", "8 0", "8000\n9000"]),
    ("DATA_DIR", ["'/data'"]),
    ("ROOT_PATH", ["/", "backend", "/backend/", "/a//b", "/a?b", "/a b", "https://a.example"]),
    ("FORWARDED_ALLOW_IPS", ["proxy", "10.0.0.1/8", "300.1.1.1", "127.0.0.1 ::1"]),
    ("LOG_LEVEL", ["loud", "20"]),
    ("ACCESS_LOG", ["perhaps"]),
    ("SLOW_REQUEST_MS", ["-1", "3600001", "soon"]),
    ("REUSE_PORT", ["perhaps"]),
    ("WEB_CONCURRENCY", ["0", "-1", "257", "two"]),
    ("DB_POOL_SIZE", ["0", "-1", "1001", "ten"]),
    ("DB_MAX_OVERFLOW", ["-1", "1001", "ten"]),
    ("DB_PREPARED_STATEMENTS", ["perhaps"]),
    ("MAX_WAITING", ["-1", "100001", "ten"]),
    ("SHUTDOWN_TIMEOUT", ["0", "301", "ten"]),
    ("DOCS_ENABLED", ["perhaps"]),
    ("DEV_DB_PORT", ["0", "65536", "postgres"]),
]


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in WRONG for text in texts]
)
def test_a_wrong_setting_stops_startup_with_a_sentence_that_names_it(
    environment: pytest.MonkeyPatch, name: str, text: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        read(environment, **{name: text})
    sentence = str(exit_.value)
    assert re.fullmatch(rf"Configuration error: {name} [^\n]+\.", sentence)
    assert "pass-word" not in sentence
    assert "db.example" not in sentence
    assert len(text) < 5 or text not in sentence


LIBRARY = re.compile("[Ii]nput should|valid (integer|boolean|string)|unable to|pydantic|unicode")
# Any text without quotes or surrogates is the name of a folder.
NEVER_WRONG = {"DATA_DIR"}
ODD = ["80a", "''", '"x"', "-1", "9" * 30, "é", "a\nb", "\udcff", "\0", "[]", "{}", "null", "NaN"]


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_every_error_about_a_setting_is_a_sentence_of_our_own(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    texts = [*ODD, *dict(WRONG).get(name, ())]
    sentences = [said for text in texts if (said := sentence_about(environment, name, text))]
    for sentence in sentences:
        assert re.fullmatch(rf"Configuration error: {name} [^\n]+[^.]\.", sentence)
        assert not LIBRARY.search(sentence)
    assert len(sentences) > 2 or name in NEVER_WRONG


def sentence_about(environment: pytest.MonkeyPatch, name: str, text: str) -> str | None:
    environment.setattr(os, "environ", {name: text})
    try:
        get_settings.__wrapped__()
    except SystemExit as exit_:
        return str(exit_)
    return None


@pytest.mark.parametrize("character", sorted(INVISIBLE))
def test_an_invisible_character_is_reported(
    environment: pytest.MonkeyPatch, character: str
) -> None:
    for name in {name.upper() for name in Settings.model_fields} - NEVER_WRONG:
        for text in (f"{character}{SECRET}", f"{SECRET}{character}", f"80{character}00"):
            sentence = sentence_about(environment, name, text)
            assert sentence is not None
            assert sentence.startswith(f"Configuration error: {name} has an invisible character")
    assert sentence_about(environment, "DATA_DIR", f"a{character}b") is None


READ_SETTINGS = """
import sys
import config
from mcp_server import settings
config.Settings.model_config["env_file"] = sys.argv[1]
settings.StdioSettings.model_config["env_file"] = sys.argv[1]
for read in config.get_settings, lambda: settings.read(settings.StdioSettings):
    try:
        read()
    except SystemExit as end:
        print(end)
"""


def test_an_env_file_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.touch(0)
    done = unprivileged(READ_SETTINGS, file)
    assert done == ["Configuration error: .env can't be read: Permission denied."] * 2
    file.chmod(0o644)
    file.write_text("PORT=1", "utf-16")
    assert unprivileged(READ_SETTINGS, file) == ["Configuration error: .env is not UTF-8 text."] * 2


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("DATA_DIR", "~nobody-here/x", "begins with ~, but there is no such home directory"),
        ("HOST", "“::”", "is in quotes, which would be a part of it: remove them"),
        ("PORT", "80a", "must be a whole number from 0 to 65535"),
        ("PORT", "70000", "must be a whole number from 0 to 65535"),
        ("DEV_DB_PORT", "0", "must be a whole number from 1 to 65535"),
        ("REUSE_PORT", "perhaps", "must be true or false"),
        ("ACCESS_LOG", "perhaps", "must be true or false"),
        ("ENVIRONMENT", "staging", "must be development or production"),
        ("LOG_LEVEL", "'info'", "is in quotes, which would be a part of it: remove them"),
        ("DATABASE_URL", f'"{URL}"', "is in quotes, which would be a part of it: remove them"),
    ],
)
def test_the_error_says_what_the_value_must_be(
    environment: pytest.MonkeyPatch, name: str, text: str, sentence: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        read(environment, **{name: text})
    assert str(exit_.value) == f"Configuration error: {name} {sentence}."


def test_white_space_around_each_value_is_removed(environment: pytest.MonkeyPatch) -> None:
    good = {
        **PRODUCTION,
        "BETTER_AUTH_URL": "https://app.example.com",
        "ALLOWED_ORIGINS": "https://a.example",
        "HOST": "::",
        "PORT": "80",
        "ROOT_PATH": "/backend",
        "ACCESS_LOG": "true",
        "DATA_DIR": "/data",
        "JWT_ISSUER": "a",
    }
    plain = read(environment, **good)
    assert read(environment, **{name: f" \t{text}\r\n" for name, text in good.items()}) == plain


def test_zero_and_false_are_not_blank() -> None:
    settings = Settings(_env_file=None, db_max_overflow=0, db_prepared_statements=False)
    assert (settings.db_max_overflow, settings.db_prepared_statements) == (0, False)


def test_a_blank_value_counts_as_unset(environment: pytest.MonkeyPatch) -> None:
    blank = {name.upper(): " \n" for name in Settings.model_fields if name not in NEVER_BLANK}
    assert read(environment, **blank).model_dump() == DEFAULTS


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("sslmode=nonsense", "has a sslmode that Postgres's client does not accept"),
        ("sslmode=Require", "has a sslmode that Postgres's client does not accept"),
        ("channel_binding=yes", "has a channel_binding that Postgres's client does not accept"),
        (
            "sslmode=require&ssl_min_protocol_version=TLSv9",
            "has a ssl_min_protocol_version that Postgres's client does not accept",
        ),
        (
            "sslmode=require&sslrootcert=system",  # libpq accepts this only with verify-full
            "has a sslmode and sslrootcert that Postgres's client does not accept together",
        ),
        (
            "sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
            "names a file in sslrootcert that does not exist, or is in a private folder",
        ),
    ],
)
@pytest.mark.parametrize("name", ["DATABASE_URL", "MIGRATION_DATABASE_URL"])
def test_a_value_that_libpq_would_refuse_is_found_at_startup(
    environment: pytest.MonkeyPatch, name: str, query: str, complaint: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        read(environment, **{name: f"{URL}?{query}"})
    assert str(exit_.value) == f"Configuration error: {name} {complaint}."


@pytest.mark.parametrize(
    "url",
    [
        f"{URL}?sslmode=verify-full&sslrootcert=system",
        f"{URL}?sslmode=verify-full&sslrootcert={quote(__file__)}",
        f"{URL}?hostaddr=192.0.2.1",
        "postgresql://owner@/tasks?host=a.example:6543&host=b.example:6544",
        "postgresql:///tasks?host=/run/postgresql",
    ],
)
def test_a_value_that_libpq_accepts_is_accepted(environment: pytest.MonkeyPatch, url: str) -> None:
    assert read(environment, DATABASE_URL=url).database_url is not None


def test_no_error_about_a_setting_contains_its_value() -> None:
    with pytest.raises(ValidationError) as error:
        Settings(
            _env_file=None, database_url="mysql://x:pass-word@x", better_auth_secret="pass-word"
        )
    assert "pass-word" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("DATABASE_URL", "DATABASE_URL"),
        ("BETTER_AUTH_SECRET", "BETTER_AUTH_SECRET or BETTER_AUTH_URL"),
    ],
)
def test_production_requires_a_database_and_a_way_to_verify_tokens(
    environment: pytest.MonkeyPatch, name: str, named: str
) -> None:
    rest = {other: value for other, value in PRODUCTION.items() if other != name}
    with pytest.raises(SystemExit) as exit_:
        read(environment, **rest)
    assert str(exit_.value) == (
        f"Configuration error: {named} is required when ENVIRONMENT is production."
    )
    assert read(environment, **PRODUCTION).environment == "production"


def test_with_an_issuer_no_secret_is_required_or_generated(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    values = {"ENVIRONMENT": "production", "DATABASE_URL": URL, "DATA_DIR": str(tmp_path)}
    settings = read(environment, BETTER_AUTH_URL="https://app.example.com", **values)
    assert signing_secret(settings) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "issuer", "keys"),
    [
        (
            "https://app.example.com",
            "https://app.example.com",
            "https://app.example.com/api/auth/jwks",
        ),
        (
            "HTTPS://App.Example.com:443/",
            "https://app.example.com",
            "HTTPS://App.Example.com:443/api/auth/jwks",
        ),
        ("https://a.example/auth/", "https://a.example", "https://a.example/auth/jwks"),
        ("https://a.example:8443/a/b", "https://a.example:8443", "https://a.example:8443/a/b/jwks"),
        ("http://localhost:3000", "http://localhost:3000", "http://localhost:3000/api/auth/jwks"),
        ("http://[::1]:80", "http://[::1]", "http://[::1]:80/api/auth/jwks"),
    ],
)
def test_issuer_and_key_set_url_are_derived_from_better_auth_url(
    environment: pytest.MonkeyPatch, url: str, issuer: str, keys: str
) -> None:
    settings = read(environment, BETTER_AUTH_URL=url)
    assert (settings.issuer, settings.key_set_url) == (issuer, keys)
    elsewhere = read(environment, JWKS_URL="https://keys.example/jwks.json")
    assert (elsewhere.issuer, elsewhere.key_set_url) == (issuer, "https://keys.example/jwks.json")


def test_jwks_url_requires_an_issuer(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"^Configuration error: JWKS_URL [^\n]+\.$"):
        read(environment, JWKS_URL="https://keys.example/jwks.json")


@pytest.mark.parametrize("name", ["BETTER_AUTH_URL", "JWKS_URL"])
@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://app.example.com", True),
        ("http://localhost:3000", True),
        ("http://app.localhost", True),
        ("http://127.0.0.1:3000", True),
        ("http://[::1]", True),
        ("http://app.example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.1", False),
    ],
)
def test_production_fetches_keys_only_over_tls_or_from_localhost(
    environment: pytest.MonkeyPatch, name: str, url: str, good: bool
) -> None:
    values = {**PRODUCTION, "BETTER_AUTH_URL": "https://app.example.com", name: url}
    if good:
        assert read(environment, **values).key_set_url is not None
        return
    with pytest.raises(SystemExit) as exit_:
        read(environment, **values)
    assert re.fullmatch(rf"Configuration error: {name} [^\n]+\.", str(exit_.value))
    assert url not in str(exit_.value)
    assert read(environment, ENVIRONMENT="development").key_set_url is not None


def test_production_listens_on_all_addresses_and_logs_no_requests(
    environment: pytest.MonkeyPatch,
) -> None:
    development = read(environment)
    production = read(environment, **PRODUCTION)
    assert (development.listen_host, production.listen_host) == ("127.0.0.1", "0.0.0.0")
    assert (development.log_requests, production.log_requests) == (True, False)
    chosen = read(environment, HOST="::1", ACCESS_LOG="yes")
    assert (chosen.listen_host, chosen.log_requests) == ("::1", True)
    assert (development.is_public, production.is_public, chosen.is_public) == (False, True, False)


@pytest.mark.parametrize(
    ("program", "values", "name"),
    [
        ("main.py", {"DATABASE_URL": "mysql://owner:pass-word@db.example/tasks"}, "DATABASE_URL"),
        ("main.py", {"ENVIRONMENT": "production", "DATABASE_URL": URL}, "BETTER_AUTH_SECRET"),
        ("auth.py", {"BETTER_AUTH_SECRET": "pass-word"}, "BETTER_AUTH_SECRET"),
    ],
)
def test_the_process_prints_one_sentence_to_stderr_and_fails(
    program: str, values: dict[str, str], name: str
) -> None:
    done = subprocess.run(
        [sys.executable, program, "user_123"], cwd=ROOT, env=values, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"Configuration error: {name} [^\n]+\.\n", done.stderr)
    assert "pass-word" not in done.stderr


def test_the_environment_takes_precedence_over_the_env_file(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = f'# comment\nPORT=9000\nLOG_LEVEL="error"\nBETTER_AUTH_SECRET={SECRET}\nOTHER=1\n'
    (tmp_path / ".env").write_text(text)
    settings = read(environment, PORT="9001")
    assert (settings.port, settings.log_level, signing_secret(settings)) == (9001, "error", SECRET)


def test_the_env_file_may_begin_with_a_byte_order_mark(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfPORT=9000\r\nHOST=::1\r\n")
    settings = read(environment)
    assert (settings.port, settings.host) == (9000, "::1")


def test_a_wrong_setting_in_the_env_file_is_named_too(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=pass-word\n")
    with pytest.raises(SystemExit, match=r"^Configuration error: PORT [^\n]+\.$"):
        read(environment)


def test_only_opentelemetry_settings_go_from_the_env_file_to_the_environment(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setattr(os, "environ", {"OTEL_SERVICE_NAME": "outside"})
    text = "OTEL_SERVICE_NAME=inside\nOTEL_EXPORTER_OTLP_ENDPOINT=http://x:4318\nPORT=9000\n"
    (tmp_path / ".env").write_text(text)
    get_settings.__wrapped__()
    expected = {"OTEL_SERVICE_NAME": "outside", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}
    assert os.environ == expected


def test_the_env_file_is_next_to_main_py() -> None:
    assert ROOT / ".env" == ENV_FILE == Path(main.__file__).parent / ".env"


@pytest.mark.parametrize(
    "secret", ["x" * 32, "é" * 32, " with spaces at both ends and inside it\n"]
)
def test_a_secret_of_32_characters_is_accepted(
    environment: pytest.MonkeyPatch, secret: str
) -> None:
    assert signing_secret(read(environment, BETTER_AUTH_SECRET=secret)) == secret.strip()


def test_a_missing_secret_is_generated_and_stored(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "with a space" / "data"
    first = signing_secret(read(environment, DATA_DIR=str(folder)))
    assert first is not None
    assert len(first) >= 32
    assert signing_secret(read(environment)) == first
    assert signing_secret(read(environment, DATA_DIR=str(tmp_path))) != first
    [file] = folder.iterdir()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kept", ["", "short"])
def test_a_stored_secret_that_is_too_short_is_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path, kept: str
) -> None:
    (tmp_path / "better-auth-secret").write_text(kept)
    with pytest.raises(SystemExit, match=r"^The secret in .* must have 32 characters or more; "):
        _ = signing_secret(read(environment, DATA_DIR=str(tmp_path)))


def test_a_data_folder_that_cannot_be_created_is_named(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"^Configuration error: DATA_DIR .*: \w[\w ]+\.$"):
        _ = signing_secret(read(environment, DATA_DIR=str(tmp_path / "file")))


def test_the_data_folder_does_not_depend_on_the_working_directory(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.chdir(tmp_path)
    environment.setenv("HOME", str(tmp_path))
    assert read(environment, DATA_DIR="elsewhere").data_dir == ROOT / "elsewhere"
    assert read(environment, DATA_DIR="~/elsewhere").data_dir == tmp_path / "elsewhere"


def test_printed_settings_contain_no_secret(environment: pytest.MonkeyPatch) -> None:
    settings = read(environment, MIGRATION_DATABASE_URL=NEON, **PRODUCTION)
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert not re.search("pass-word|npg_|db.example|neon.tech|for-tests-", text)


def libpq(url: str) -> dict[str, Any]:
    """Return the libpq parameters with which the service connects."""
    taken: dict[str, Any] = {}

    async def connect(**parameters: Any) -> None:
        taken.update(parameters)
        raise TimeoutError

    with pytest.MonkeyPatch.context() as patch, suppress(DatabaseUnavailable):
        patch.setattr(driver, "connect", connect)
        asyncio.run(Database(postgres_url(url), 1).condition.check())
    return taken


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_both_schemes_of_postgres_are_accepted(
    environment: pytest.MonkeyPatch, scheme: str
) -> None:
    url = f"{scheme}://owner:p%40ss%2Fword@db.example:6543/tasks"
    assert read(environment, DATABASE_URL=url).database_url is not None
    expected = {
        "user": "owner",
        "password": "p@ss/word",
        "host": "db.example",
        "port": 6543,
        "dbname": "tasks",
    }
    assert libpq(url).items() >= expected.items()


@pytest.mark.parametrize("password", ["pass\u2100word", "x[pass]x"])
def test_a_password_may_have_characters_that_a_web_url_may_not(
    environment: pytest.MonkeyPatch, password: str
) -> None:
    url = f"postgresql://owner:{password}@db.example/tasks"
    settings = read(environment, DATABASE_URL=url)
    assert settings.database_url is not None
    assert postgres_url(settings.database_url.get_secret_value()).password == password


def test_neons_connection_string_is_accepted_unchanged(environment: pytest.MonkeyPatch) -> None:
    assert read(environment, DATABASE_URL=NEON).database_url is not None
    expected = {
        "user": "neondb_owner",
        "password": "npg_Secret1",
        "host": "ep-cool-rain-123456-pooler.eu-central-1.aws.neon.tech",
        "dbname": "neondb",
        "sslmode": "require",
        "channel_binding": "require",
    }
    assert libpq(NEON).items() >= expected.items()


def test_a_pooler_gets_no_startup_options() -> None:
    assert "options" not in libpq(NEON)
    assert libpq(f"{URL}?application_name=mine")["application_name"] == "mine"


def test_env_example_explains_each_setting() -> None:
    text = (ROOT / ".env.example").read_text()
    names = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE)
    ours = [name for name in names if not name.startswith("OTEL_")]
    settings = {*Settings.model_fields, *StdioSettings.model_fields, *HttpSettings.model_fields}
    assert sorted(ours) == sorted(name.upper() for name in settings)
    paragraphs = [
        block for block in text.split("\n\n") if re.search(r"^#?[A-Z0-9_]+=", block, re.M)
    ]
    assert all(re.match(r"# ?\w", block) for block in paragraphs)


def test_env_example_changes_no_setting_until_it_is_edited(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text((ROOT / ".env.example").read_text())
    assert read(environment).model_dump() == DEFAULTS


def test_the_values_in_env_example_are_valid(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (ROOT / ".env.example").read_text()
    (tmp_path / ".env").write_text(re.sub(r"^#([A-Z][A-Z0-9_]*=)", r"\1", text, flags=re.M))
    assert read(environment).environment == "development"
