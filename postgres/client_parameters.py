"""Parameters of other clients' database URLs, and what to write instead.

libpq refuses these parameters. Users copy them from providers' pages, which often show the URL for
Prisma, JDBC or node-postgres.
"""

_REMOVE = "remove it"
_POOLER = "remove it: the service works through a pooler as it is"
_POOL = "remove it, and set DB_POOL_SIZE and DB_MAX_OVERFLOW"
_PREPARED = "remove it; DB_PREPARED_STATEMENTS=false turns prepared statements off"
_TIME = "remove it: the service has its own time limits"
_SCHEMA = "remove it, and set the schema of the role: ALTER ROLE … SET search_path = …"
_TLS = "write sslmode=require, or sslmode=verify-full with sslrootcert=system"
_ENCODING = "remove it: the connection always uses UTF-8"

# The names are in lower case, because Npgsql and JDBC ignore case or use capitals.
_REMEDIES = {
    "pgbouncer": _POOLER,
    "supa": _POOLER,
    "workaround": _POOLER,
    "pooler": _POOLER,
    "schema": _SCHEMA,
    "currentschema": _SCHEMA,
    "search_path": _SCHEMA,
    "searchpath": _SCHEMA,
    "ssl": _TLS,
    "ssl_mode": _TLS,
    "ssl-mode": _TLS,
    "sslaccept": _TLS,
    "sslfactory": _TLS,
    "sslidentity": _TLS,
    "ssl_cert": _TLS,
    "trustservercertificate": _TLS,
    "uselibpqcompat": "remove it: sslmode already means what it means to libpq",
    "connection_limit": _POOL,
    "pool_timeout": _POOL,
    "pool_size": _POOL,
    "max_overflow": _POOL,
    "max_connections": _POOL,
    "maxpoolsize": _POOL,
    "minpoolsize": _POOL,
    "pooling": _POOL,
    "statement_cache_size": _PREPARED,
    "prepared_statement_cache_size": _PREPARED,
    "prepared_statement_name_func": _PREPARED,
    "prepared_statements": _PREPARED,
    "preparethreshold": _PREPARED,
    "prepare_threshold": _PREPARED,
    "binary_parameters": _PREPARED,
    "statement_timeout": _TIME,
    "query_timeout": _TIME,
    "command_timeout": _TIME,
    "socket_timeout": _TIME,
    "sockettimeout": _TIME,
    "logintimeout": _TIME,
    "timeout": _TIME,
    "max_idle_connection_lifetime": _TIME,
    "idle_in_transaction_session_timeout": _TIME,
    "charset": _ENCODING,
    "encoding": _ENCODING,
    "timezone": "remove it: the service writes and reads times in UTC",
    "applicationname": "write application_name",
    "targetservertype": "write target_session_attrs",
    "username": "write user",
    "database": "write dbname",
    "server_settings": _REMOVE,
    "async_fallback": _REMOVE,
    "prepared": _REMOVE,
    "sslmode": "write sslmode in lower case",
    "sslrootcert": "write sslrootcert in lower case",
}


def remedy(name: str) -> str | None:
    """Return what is wrong with the parameter `name` if it is another client's, or None."""
    lower = name.lower()
    if lower not in _REMEDIES or name in ("sslmode", "sslrootcert"):
        return None
    return f"has the parameter {lower}, which libpq does not have: {_REMEDIES[lower]}"
