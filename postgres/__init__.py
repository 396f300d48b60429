"""psycopg2 on the event loop, with its own pool. `driver.py` connects SQLAlchemy to it."""
