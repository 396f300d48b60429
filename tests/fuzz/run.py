"""Run one harness under atheris: `python -m tests.fuzz.run NAME [OPTIONS OF LIBFUZZER]`."""

import importlib
import sys

# What each harness is about. Only the paths through these modules count as new ones.
INSTRUMENTED = {
    "http_protocol": ["errors", "serving"],
    "token_verifier": ["auth", "errors", "jose", "jwks", "public_keys", "tokens"],
}


def main(name: str, *options: str) -> None:
    """Fuzz until libFuzzer ends the process, with a code other than 0 if it found something."""
    try:
        atheris = importlib.import_module("atheris")
    except ModuleNotFoundError:
        sys.exit("atheris runs on Linux on x86-64 only, and is in the group `fuzz`.")
    with atheris.instrument_imports(include=INSTRUMENTED[name]):
        harness = importlib.import_module(f"tests.fuzz.{name}")
    atheris.Setup([name, *options], harness.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
