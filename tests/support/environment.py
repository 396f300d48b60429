"""Keep the settings in the environment and in `.env` out of the tests.

Import this module before main.py, which reads the settings: the import itself has the effect.
"""

import os

from config import Settings

ENV_FILE = Settings.model_config["env_file"]
Settings.model_config["env_file"] = None
for name in [name for name in os.environ if name.startswith("OTEL_")]:
    del os.environ[name]
for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)
