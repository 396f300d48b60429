"""The URL at which other programs reach the development database over TCP.

`uv run -m development.tcp_url` prints it, for `psql` and for the `.env` of a frontend. It contains
a password, so the log must not contain it.
"""

import sys

from sqlalchemy.engine import URL

from config import Settings, get_settings
from development.tcp import DATABASE, HOST, USER, kept_password


def tcp_url(settings: Settings) -> URL:
    """Return the URL. Raises SystemExit with a message if the settings do not allow TCP."""
    if settings.environment != "development":
        sys.exit("The service has a database of its own only in development.")
    if settings.database_url is not None:
        sys.exit("The service uses the database of DATABASE_URL, and has none of its own.")
    if settings.dev_db_port is None:
        sys.exit("Set DEV_DB_PORT, such as DEV_DB_PORT=5433 in .env, and restart the service.")
    password = kept_password(settings.data_dir / "postgres")
    return URL.create("postgresql", USER, password, HOST, settings.dev_db_port, DATABASE)


if __name__ == "__main__":
    print(tcp_url(get_settings()).render_as_string(hide_password=False))  # noqa: T201
