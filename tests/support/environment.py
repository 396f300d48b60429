"""Keep the settings of the machine, and a `.env`, out of the tests.

Importing this module does it. Import it before main.py, which reads the settings.
"""

import os

from config import Settings

ENV_FILE = Settings.model_config["env_file"]
Settings.model_config["env_file"] = None
for name in [name for name in os.environ if name.startswith("OTEL_")]:
    del os.environ[name]
for name in Settings.model_fields:
    os.environ.pop(name.upper(), None)
