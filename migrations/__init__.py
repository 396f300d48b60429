"""Alembic's migrations; `env.py` runs them."""
