"""Run one harness under atheris: `python -m tests.fuzz.run NAME [OPTIONS OF LIBFUZZER]`."""

import importlib
import sys

# The modules that each harness tests. Only coverage of these guides the fuzzer.
INSTRUMENTED = {
    "http_protocol": ["errors", "serving"],
    "token_verifier": ["auth", "errors", "jose", "jwks", "public_keys", "tokens"],
}


def main(name: str, *options: str) -> None:
    """Fuzz until libFuzzer ends the process, with a code other than 0 if it found something."""
    try:
        atheris = importlib.import_module("atheris")
    except ModuleNotFoundError:
        sys.exit(
            "atheris is not installed: it is in the group `fuzz`, and runs only on Linux on x86-64."
        )
    with atheris.instrument_imports(include=INSTRUMENTED[name]):
        harness = importlib.import_module(f"tests.fuzz.{name}")
    atheris.Setup([name, *options], harness.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
