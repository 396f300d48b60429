"""The address of a Postgres database, as the settings give it."""

import re
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn
from sqlalchemy.engine import URL, make_url

from postgres.driver import libpq_parameters


def postgres_url(value: str) -> URL:
    """`value` as a URL for SQLAlchemy, its driver left to the caller.

    Raises ValueError, whose text never holds any of `value`.
    """
    if not value.startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql:// or postgres://")
    try:
        url = make_url(value).set(drivername="postgresql")
        parameters = libpq_parameters(url)
        make_dsn(**parameters)
    except psycopg2.ProgrammingError:
        raise ValueError("has a parameter that Postgres's client does not know") from None
    except Exception:  # whatever the parser finds wrong, its message would quote the password
        raise ValueError("must look like postgresql://user:password@host/database") from None
    _check_values(parameters)
    return url


def _check_values(parameters: dict[str, Any]) -> None:
    """Lets libpq check them, as it does before it connects: here to a socket that can't be.

    Raises ValueError, which names a parameter but quotes none.
    """
    hosts = str(parameters.get("host", "")).split(",")
    nowhere = {**parameters, "host": ",".join(["/dev/null"] * len(hosts)), "hostaddr": ""}
    try:
        psycopg2.connect(**nowhere, async_=1).close()
    except psycopg2.OperationalError as error:
        if "/dev/null" not in str(error):  # in whatever language, it did not even get there
            invalid = re.match(r'invalid "?([a-z_]+)"? ', str(error))
            name = invalid[1] if invalid else "value"
            raise ValueError(f"has a {name} that Postgres's client does not accept") from None
    certificate = str(parameters.get("sslrootcert", "system"))
    if certificate != "system" and not Path(certificate).is_file():
        raise ValueError("names a file in sslrootcert that is not there")
