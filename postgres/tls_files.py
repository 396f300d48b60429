"""TLS files: those in the home directory, which libpq reads by default, and the system's.

If libpq has no permission to read one of them, TLS fails. With `sslmode=prefer`, which is the
default, libpq then silently connects without TLS
(https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-FILE-USAGE). A service whose HOME
belongs to another user, such as root in a container, would then send its password and its tasks
unencrypted.

`sslrootcert=system` means the certificate authorities of the system. The OpenSSL in psycopg2's
wheel looks for them where the machine that built it keeps them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Where Linux distributions and BSDs keep the certificate authorities, as in Go's
# crypto/x509/root_linux.go and root_bsd.go.
SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
)
ABSENT = "/dev/null/absent"  # no such file can exist, so libpq continues without one
NO_ROOT = (
    ", and ~/.postgresql/root.crt can't be read: add sslrootcert=system, or the path of the "
    "authority's certificate"
)


def home_files(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return what to add to `parameters`, so that an unreadable file does not turn TLS off.

    Raises ValueError if the server must be verified, but the root certificate can't be read.
    """
    if _are_sockets(parameters):  # which have no TLS
        return {}
    mode = str(_given("sslmode", parameters) or "prefer")
    added = {}
    if not _given("sslrootcert", parameters):
        root = _home_file("root.crt")
        if mode.startswith("verify-") and not os.access(root, os.R_OK):
            raise ValueError(_lack(mode, parameters) + NO_ROOT)
        if _is_unreadable(root):
            if mode == "require":  # libpq verifies the server if the file exists
                raise ValueError(_lack(mode, parameters) + NO_ROOT)
            added["sslrootcert"] = ABSENT
    if not _given("sslcert", parameters) and _is_unreadable(_home_file("postgresql.crt")):
        added["sslcert"] = ABSENT
    return added


def system_file(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return what to add to `parameters`, so that `sslrootcert=system` finds the system's file.

    libpq accepts `system` only with verify-full, which is then also the default. OpenSSL itself
    reads the variables that may name another file.
    """
    if _given("sslrootcert", parameters) != "system" or {"SSL_CERT_FILE", "SSL_CERT_DIR"} & {
        *os.environ
    }:
        return {}
    found = next((file for file in SYSTEM_FILES if os.access(file, os.R_OK)), None)
    if found is None or _given("sslmode", parameters) not in (None, "verify-full"):
        return {}
    return {"sslmode": "verify-full", "sslrootcert": found}


def _are_sockets(parameters: Mapping[str, Any]) -> bool:
    """Return whether every host is a folder of Unix sockets. With `hostaddr`, none is."""
    hosts = str(parameters.get("host") or "").split(",")
    return not _given("hostaddr", parameters) and all(each.startswith(("/", "@")) for each in hosts)


def _lack(mode: str, parameters: Mapping[str, Any]) -> str:
    if parameters.get("sslmode"):
        return f"has sslmode={mode} without sslrootcert"
    return f"has no sslrootcert, which PGSSLMODE={mode} in the environment needs"


def _given(name: str, parameters: Mapping[str, Any]) -> object:
    return parameters.get(name) or os.environ.get(f"PG{name.upper()}")


def _home_file(name: str) -> Path:
    try:
        return Path.home() / ".postgresql" / name
    except RuntimeError:  # the user has no home directory
        return Path(ABSENT)


def _is_unreadable(path: Path) -> bool:
    """Return whether the file exists, or may exist, but can't be read."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(path, os.R_OK)
