"""The URL of a Postgres database, in the form that the settings use."""

import re
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn
from sqlalchemy.engine import URL, make_url

from postgres.driver import libpq_parameters


def postgres_url(value: str) -> URL:
    """Return `value` as a URL for SQLAlchemy, without a choice of driver.

    Raises ValueError. Its text never contains any part of `value`.
    """
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql:// or postgres://")
    try:
        url = make_url(value).set(drivername="postgresql")
        parameters = libpq_parameters(url)
        make_dsn(**parameters)
    except psycopg2.ProgrammingError:
        raise ValueError("has a parameter that Postgres's client does not know") from None
    except Exception:  # any message of the parser would quote the password
        raise ValueError("must look like postgresql://user:password@host/database") from None
    _check_values(parameters)
    return url


def _check_values(parameters: dict[str, Any]) -> None:
    """Let libpq check the values as it does before it connects, here to a socket that can't exist.

    Raises ValueError, which names a parameter but quotes no value.
    """
    hosts = str(parameters.get("host", "")).split(",")
    nowhere = {**parameters, "host": ",".join(["/dev/null"] * len(hosts)), "hostaddr": ""}
    try:
        psycopg2.connect(**nowhere, async_=1).close()
    except psycopg2.OperationalError as error:
        if "/dev/null" not in str(error):  # in any language: libpq did not try to connect
            invalid = re.match(r'invalid "?([a-z_]+)"? ', str(error))
            name = invalid[1] if invalid else "value"
            raise ValueError(f"has a {name} that Postgres's client does not accept") from None
    certificate = str(parameters.get("sslrootcert", "system"))
    if certificate != "system" and not Path(certificate).is_file():
        raise ValueError("names a file in sslrootcert that is not there")
