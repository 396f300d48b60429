"""The development data in DATA_DIR: a secret, and a database (development/database.py)."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from secret_rules import check_secret


def data_folder(path: Path) -> Path:
    """Return `path`, and create the folder if it does not exist.

    Ends the process with a message if the folder can't be created or can't be written to.
    """
    task = "made at"
    try:
        path.mkdir(parents=True, exist_ok=True)
        task = "used at"
        tempfile.TemporaryFile(dir=path).close()  # os.access() is true for root
    except OSError as error:
        raise SystemExit(
            f"Configuration error: DATA_DIR can't be {task} {path}: {error.strerror}."
        ) from None
    return path


def kept_secret(path: Path) -> str:
    """Return the secret in `path`, and create it if it does not exist.

    Two processes that start at the same time use the same secret.
    """
    data_folder(path.parent)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:  # only its owner may read it
        file.write(secrets.token_urlsafe(48))
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(file.name)
    secret = path.read_text()
    try:
        check_secret(secret)
    except ValueError as error:
        raise SystemExit(f"The secret in {path} {error}; remove the file for a new one.") from None
    return secret
