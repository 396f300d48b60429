"""psycopg2 on the event loop, with its own pool. `dialect.py` connects SQLAlchemy to it."""
