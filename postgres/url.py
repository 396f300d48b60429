"""Parse and check the URL of a Postgres database."""

import os
import re
from typing import Any
from urllib.parse import parse_qsl

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn
from sqlalchemy.engine import URL, make_url

from postgres.client_parameters import remedy
from postgres.dialect import libpq_parameters
from postgres.libpq import resolved_options
from postgres.tls_files import home_files, system_file

FORM = "must look like postgresql://user:password@host/database"
ESCAPES = "in a user and a password write @ as %40, : as %3A, / as %2F, ? as %3F and % as %25"
QUOTES = "\"'`“”"


def postgres_url(value: str) -> URL:
    """Return `value` as a SQLAlchemy URL that names no driver.

    Every form that libpq accepts is accepted, because libpq parses it
    (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS). Raises
    ValueError, whose text never contains a part of `value`, except the name of a known parameter.
    """
    _check_form(value)
    parameters = _parsed(value)
    if "@" in parameters.get("host", "")[1:]:  # a leading @ marks an abstract socket
        raise ValueError(f"has two @ before its host: {ESCAPES}")
    if not parameters.get("host"):  # PGHOST or a service file may have it
        options = resolved_options(make_dsn(**parameters))
        if options.get("host"):
            parameters |= {"host": options["host"], "port": options.get("port", "")}
    _check_values(parameters)
    return _url(parameters | home_files(parameters) | system_file(parameters))


def _check_form(value: str) -> None:
    if value.startswith("psql "):
        raise ValueError("is a command: keep only the URL that is in its quotes")
    if value[:1] in QUOTES and value[:1] == value[-1:]:
        raise ValueError("is in quotes, which would be a part of it: remove them")
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql:// or postgres://")
    if re.search(r"\s", value):
        raise ValueError("has a space or a line break inside it")
    authority = re.split("[/?]", value.partition("://")[2])[0]
    # libpq would take the text between the first and the last @ for a host name, and look it up.
    if authority.count("@") > 1:
        raise ValueError(f"has two @ before its host: {ESCAPES}")
    if value.partition("?")[0].count("@") > authority.count("@"):
        raise ValueError(f"has an @ after a slash: {ESCAPES}")


def _parsed(value: str) -> dict[str, Any]:
    """Return the libpq parameters in `value`."""
    names = [name for name, _ in parse_qsl(value.partition("?")[2], keep_blank_values=True)]
    try:
        if names.count("host") > 1:  # SQLAlchemy's form of several hosts
            return dict(parse_dsn(make_dsn(**libpq_parameters(make_url(value)))))
        return dict(parse_dsn(value))
    except psycopg2.ProgrammingError:
        for name in names:
            if sentence := remedy(name):
                raise ValueError(sentence) from None
        if "%" in re.sub("%[0-9A-Fa-f]{2}", "", value):
            raise ValueError(f"has a % that does not begin an escape: {ESCAPES}") from None
        if names:
            raise ValueError("has a parameter that Postgres's client does not know") from None
        raise ValueError(f"{FORM}; {ESCAPES}") from None
    except Exception:  # the parser's message may quote the password
        raise ValueError(f"{FORM}; {ESCAPES}") from None


def _check_values(parameters: dict[str, Any]) -> None:
    """Let libpq check the values by connecting to a socket that can't exist.

    Raises ValueError, whose text names the parameter but does not quote its value.
    """
    ports = str(parameters.get("port", "")).split(",")
    if not all(not port or (port.isdecimal() and 0 < int(port) < 65536) for port in ports):
        raise ValueError(f"has a port that is not a number from 1 to 65535; {ESCAPES}")
    hosts = str(parameters.get("host", "")).split(",")
    nowhere = {**parameters, "host": ",".join(["/dev/null"] * len(hosts)), "hostaddr": ""}
    try:
        psycopg2.connect(**nowhere, async_=1).close()
    except psycopg2.OperationalError as error:
        if "/dev/null" not in str(error):  # libpq did not try to connect
            raise ValueError(_complaint(str(error), parameters)) from None
    certificate = str(parameters.get("sslrootcert", "system"))
    if certificate != "system" and not os.path.isfile(certificate):  # noqa: PTH113  (never raises)
        raise ValueError(
            "names a file in sslrootcert that does not exist, or is in a private folder"
        )
    if certificate != "system" and not os.access(certificate, os.R_OK):
        raise ValueError("names a file in sslrootcert that this user may not read")


def _complaint(message: str, parameters: dict[str, Any]) -> str:
    if "service" in parameters and "service" in message:
        return "names a service that no readable service file has, or whose entry is wrong"
    words = set(re.findall("[a-z_]+", re.sub('"[^"]*"', "", message)))
    if named := [name for name in parameters if name in words]:
        together = " together" if len(named) > 1 else ""
        return f"has a {' and '.join(named)} that Postgres's client does not accept{together}"
    invalid = re.match(r'invalid "?([a-z_]+)"? ', message)  # perhaps from the environment
    name = invalid[1] if invalid else "value"
    return f"has a {name} that Postgres's client does not accept"


def _url(parameters: dict[str, Any]) -> URL:
    """Return the URL with these parameters. If there are several hosts, its query lists them."""
    rest = dict(parameters)
    user, password, database = (rest.pop(name, None) for name in ("user", "password", "dbname"))
    host, port = rest.get("host", ""), rest.get("port", "")
    if "," in host and port and "," not in port:  # SQLAlchemy needs one for each host
        rest["port"] = port = ",".join([port] * len(host.split(",")))
    single = host and not host.startswith(("/", "@")) and "," not in f"{host}{port}"
    if single:
        del rest["host"]
        rest.pop("port", None)
    return URL.create(
        "postgresql",
        user,
        password,
        host if single else None,
        int(port) if single and port else None,
        database,
        rest,
    )
