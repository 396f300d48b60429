"""psycopg2 on the event loop, with a pool of its own. `driver.py` is SQLAlchemy's way in."""
