"""DATABASE_URL: every form that libpq accepts, and the error for any other."""

import asyncio
import os
import re
import socket
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from postgres import tls_files
from postgres.client_parameters import _REMEDIES
from postgres.dialect import libpq_parameters
from postgres.dns import addresses
from postgres.tls_files import ABSENT
from postgres.url import postgres_url
from tests.support.processes import unprivileged

SERVICE = "[tasks]\nhost=db.example\nport=6000\nuser=owner\ndbname=other\n"
TWO = "has two @ before its host"
AFTER = "has an @ after a slash"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home directory without files, and an environment without settings of libpq."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def parameters(url: str) -> dict[str, str]:
    return {name: str(value) for name, value in libpq_parameters(postgres_url(url)).items()}


def complaint(url: str) -> str:
    with pytest.raises(ValueError, match=r"^(has|is|must|names) ") as error:
        postgres_url(url)
    return str(error.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://", {}),
        ("postgres://u@h", {"user": "u", "host": "h"}),
        ("postgresql://h1:1,h2:2,h3/d", {"host": "h1,h2,h3", "port": "1,2,", "dbname": "d"}),
        ("postgresql://h1,h2/d", {"host": "h1,h2", "port": ",", "dbname": "d"}),
        ("postgresql:///d?host=h1,h2&port=5", {"host": "h1,h2", "port": "5,5", "dbname": "d"}),
        ("postgresql:///d?host=h1:1&host=h2:2", {"host": "h1,h2", "port": "1,2", "dbname": "d"}),
        ("postgresql://%2Frun%2Fpg/d", {"host": "/run/pg", "dbname": "d"}),
        ("postgresql://u@%2Frun:6/d", {"host": "/run", "port": "6", "user": "u", "dbname": "d"}),
        ("postgresql:///d?host=/run/pg", {"host": "/run/pg", "dbname": "d"}),
        ("postgresql://[::1]:5433/d", {"host": "::1", "port": "5433", "dbname": "d"}),
        ("postgresql://u%40x:p%40%2F%3A@h", {"user": "u@x", "password": "p@/:", "host": "h"}),
        ("postgresql://u:a#b:c?d@h", {"user": "u", "password": "a#b:c?d", "host": "h"}),
        ("postgresql://h/?application_name=a@b", {"host": "h", "application_name": "a@b"}),
        (
            "postgresql://h?ssl=true",
            {"host": "h", "sslmode": "require"},
        ),  # libpq accepts JDBC's parameter
    ],
)
def test_every_form_that_libpq_accepts_is_accepted(url: str, expected: dict[str, str]) -> None:
    assert parameters(url) == expected
    # Development passes the URL to its migration as text.
    assert parameters(postgres_url(url).render_as_string(hide_password=False)) == expected


def test_a_service_file_supplies_the_host_and_libpq_reads_the_rest(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We need the host before libpq connects, because we resolve its name on the event loop."""
    (home / ".pg_service.conf").write_text(SERVICE)
    service = {"service": "tasks", "host": "db.example", "port": "6000"}
    assert parameters("postgresql:///?service=tasks") == service
    assert parameters("postgresql:///d?service=tasks") == {**service, "dbname": "d"}
    assert parameters("postgresql://h/?service=tasks") == {"service": "tasks", "host": "h"}
    assert complaint("postgresql:///?service=absent").startswith("names a service")
    monkeypatch.setenv("PGSERVICEFILE", str(home / "absent"))
    assert complaint("postgresql:///?service=tasks").startswith("names a service")


def test_a_host_from_the_environment_is_resolved_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "localhost")
    found = asyncio.run(addresses(parameters("postgresql:///d")))
    assert set(found["hostaddr"].split(",")) <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://u:s3cr@t@h/d", TWO),
        ("postgresql://u:@s3cret@h/d", TWO),
        ("postgresql://u@s3cr:t@h/d", TWO),
        ("postgresql://u:s3/cr@t@h/d", AFTER),
        ("postgresql://u:s3@/cr@t@h/d", AFTER),
        ("postgresql://u:s3/cret@h/d", AFTER),
        ("postgresql://u:s3%cret@h/d", "has a % that does not begin an escape"),
        ("postgresql://u:s3 cret@h/d", "has a space or a line break inside it"),
        ("postgresql://u:s3cret@h/\nd", "has a space or a line break inside it"),
        ("postgresql://u@h:s3cret/d", "has a port that is not a number"),
        ("postgresql://u@h:99999/d", "has a port that is not a number"),
        ("psql 'postgresql://u:s3cret@h/d'", "is a command"),
        ("'postgresql://u:s3cret@h/d'", "is in quotes"),
        ("jdbc:postgresql://h/d", "must start with"),
        ("postgresql+psycopg2://u:s3cret@h/d", "must start with"),
        ("postgresql://[::1/d", "must look like"),
        ("postgresql://h/d?s3cret=1", "has a parameter that Postgres's client does not know"),
    ],
)
def test_the_error_says_what_is_wrong_without_a_dns_lookup(
    monkeypatch: pytest.MonkeyPatch, url: str, sentence: str
) -> None:
    def look_up(*_: Any, **__: Any) -> None:
        pytest.fail("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    said = complaint(url)
    assert said.startswith(sentence)
    assert "cr" not in said.replace("escape", "").replace("psycopg", "")


SPECIAL = "@/:?#%"


@pytest.mark.parametrize("password", ["".join(two) for two in product(SPECIAL, SPECIAL)])
def test_a_password_with_special_characters_is_accepted_whole_or_refused(password: str) -> None:
    url = f"postgresql://u:s3{password}cr3t@h/d"
    whole = {"user": "u", "password": f"s3{password}cr3t", "host": "h", "dbname": "d"}
    try:
        taken = parameters(url)
    except ValueError:
        assert "cr3t" not in complaint(url)
    else:
        assert taken == whole


@pytest.mark.parametrize("name", sorted({*_REMEDIES} - {"sslmode", "sslrootcert", "ssl"}))
def test_the_error_about_another_clients_parameter_has_the_remedy(name: str) -> None:
    for spelling in (name, name.upper()):
        said = complaint(f"postgresql://u:s3cret@h/d?sslmode=require&{spelling}=s3cret")
        assert said == f"has the parameter {name}, which libpq does not have: {_REMEDIES[name]}"


def test_the_error_about_a_parameter_in_capitals_has_the_remedy() -> None:
    said = complaint("postgresql://u:s3cret@h/d?SSLMode=Require")
    assert said.endswith("write sslmode in lower case")


PRINT_PARAMETERS = """
import sys
from postgres.dialect import libpq_parameters
from postgres.url import postgres_url
for query in sys.argv[1:]:
    try:
        print(libpq_parameters(postgres_url(f"postgresql://h/d?{query}")))
    except ValueError as error:
        print(error)
"""


@pytest.mark.parametrize("closed", [".postgresql", ".postgresql/root.crt"])
def test_unreadable_files_do_not_turn_tls_off(home: Path, closed: str) -> None:
    folder = home / ".postgresql"
    folder.mkdir()
    (folder / "root.crt").touch()
    (home / closed).chmod(0)
    modes = ("require", "verify-ca", "verify-full")
    queries = ["sslmode=prefer", "sslmode=verify-full&sslrootcert=system"]
    try:
        lines = unprivileged(
            PRINT_PARAMETERS, *queries, *(f"sslmode={mode}" for mode in modes), home=home
        )
    finally:
        (home / closed).chmod(0o700)
    preferred, system, *verified = lines
    assert f"'sslrootcert': '{ABSENT}'" in preferred
    assert (f"'sslcert': '{ABSENT}'" in preferred) == (closed == ".postgresql")
    assert re.search(r"'sslrootcert': '/etc/\S+'", system)
    for mode, said in zip(modes, verified, strict=True):
        assert said.startswith(f"has sslmode={mode} without sslrootcert")


NEEDS_ROOT = "has no sslrootcert, which PGSSLMODE=verify-full in the environment needs, and "
SOCKETS = ["%2Ftmp%2Fsock:6502", "%2Ftmp,%2Fvar", "%40abstract", "?host=/tmp"]
REMOTE = ["h", "%2Ftmp,h", "/d?hostaddr=192.0.2.1&host=/tmp", ""]


@pytest.mark.parametrize("host", SOCKETS)
@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_socket_needs_no_root_certificate(
    host: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libpq ignores sslmode there. Other programs on the machine may need the variable."""
    monkeypatch.setenv("PGSSLMODE", mode)
    monkeypatch.setattr(tls_files, "_is_unreadable", lambda path: True)
    assert not {"sslmode", "sslrootcert"} & parameters(f"postgresql://{host}").keys()
    assert parameters(f"postgresql:///d?host=/tmp&sslmode={mode}")["sslmode"] == mode


@pytest.mark.parametrize("host", REMOTE)
def test_the_error_names_the_variable_that_has_the_mode(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert complaint(f"postgresql://{host}").startswith(NEEDS_ROOT)


def test_an_address_in_the_environment_is_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    assert complaint("postgresql:///d?host=/tmp").startswith(NEEDS_ROOT)


@pytest.mark.parametrize("closed", [".", "root.crt"])
def test_a_certificate_that_cannot_be_read_is_reported(tmp_path: Path, closed: str) -> None:
    file = tmp_path / "root.crt"
    file.touch()
    (tmp_path / closed).chmod(0)
    try:
        [said] = unprivileged(PRINT_PARAMETERS, f"sslmode=verify-full&sslrootcert={file}")
    finally:
        (tmp_path / closed).chmod(0o700)
    private = "does not exist, or is in a private folder"
    assert said.endswith(private if closed == "." else "this user may not read")
