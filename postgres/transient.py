"""A stand-in."""

import psycopg2


def is_transient(error: BaseException) -> bool:
    text = str(error)
    if isinstance(error, TimeoutError):
        return True
    final = (
        "password",
        "does not exist",
        "channel binding",
        "certificate",
        "SSL",
        "not accept",
        "not permitted",
        "not currently accepting",
    )
    return isinstance(error, psycopg2.OperationalError) and not any(word in text for word in final)
