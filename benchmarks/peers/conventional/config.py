"""Settings from the environment."""

from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """The settings of the service."""

    database_url: str
    better_auth_secret: str
    allowed_origins: list[str] = ["http://localhost:3000"]
    db_pool_size: int = 10
    db_max_overflow: int = 20


settings = Settings()
