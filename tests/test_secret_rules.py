"""Production accepts random secrets, and refuses those that others know or can guess."""

import random
import re
import secrets
import string
import subprocess
from base64 import b64encode
from collections.abc import Callable

import pytest

from config import ROOT
from development.signing_secret import signing_secret
from secret_rules import check_secret_is_private
from tests.support.settings import PRODUCTION, read

ASK_FOR_A_NEW_ONE = "make a new one with `openssl rand -base64 32`"

# Secrets from public documentation, templates and tests, including this repository's plan.
EXAMPLES = [
    "better-auth-secret-12345678901234567890",  # Better Auth's own default
    "your-secret-key-minimum-32-characters-long-random-string",  # the plan's .env.example
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # FastAPI's tutorial
    "3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R",  # Hasura
    "AyM1SysPpbyfDfZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    "a-string-secret-at-least-256-bits-long",  # jwt.io
    "super-secret-jwt-token-with-at-least-32-characters-long",  # Supabase
    "reallyreallyreallyreallyverysafe",  # PostgREST's tutorial
    "better-auth-secret-000000000000000000000001",
    "better-auth-secret-that-is-at-least-32-characters",
    "better-auth-secret-that-is-long-enough-for-validation-test",
    "test-better-auth-secret-1234567890",
    "your-random-secret-key-minimum-32-characters-long",
    "your_super_strong_and_unique_secret_key_here",
    "your-default-secret-change-in-production",
    "replace-with-at-least-32-random-characters",
    "change-me-to-a-random-string-at-least-32-chars",
    "change-this-to-a-random-32-plus-char-string",
    "change-me-min-32-chars-cryptorandom-string",
    "changeme-minimum-32-characters-long",
    "CHANGE_ME_CHANGE_ME_CHANGE_ME_CHANGE_ME",
    "dev-secret-at-least-32-characters-long!",
    "dev-secret-change-me-min-32-chars-000",
    "development_secret_key_32_characters_minimum",
    "secure-production-secret-minimum-32-characters-long",
    "this is a very long secret key for testing only",
    "thisisaverylongsecretkeyfortestingonly",
    "taskforge-dev-secret-0123456789abcdef",
    "supersecretpasswordsupersecretpassword!",
    "<put your generated 32 character secret here>",
    "a-secret-of-more-than-32-characters",  # from these tests
    "another secret of 32 characters!",
    "${BETTER_AUTH_SECRET:-change-me-in-production}",
]
GUESSABLE = [
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789abcdef0123456789abcdef",
    "zyxwvutsrqponmlkjihgfedcba9876543210",
    "qwertyuiopasdfghjklzxcvbnm1234567890",
]
FEW = [
    "a" * 32,
    "changeme" * 4,
    "é" * 40,
    "ab" * 16,
    "0102" * 16,
    "abcdefg" * 5,
    "1234567" + "7" * 40,
]
REPEATED = ["k7Qz9Lw2" * 4, "k7Qz9Lw2" * 4 + "k7Q", "Zq8vR1tXw0Lm3NpB" * 2, "rT5xQ9bL2m" * 5]
RANDOM = secrets.token_urlsafe(32)
QUOTED = [f'"{RANDOM}"', f"'{RANDOM}'", f"`{RANDOM}`", f"“{RANDOM}”", f' "{RANDOM}" ']
NAMED = [f"BETTER_AUTH_SECRET={RANDOM}", f"export BETTER_AUTH_SECRET={RANDOM}"]

REASONS = [
    *((secret, "is a published example") for secret in EXAMPLES),
    *((secret.ljust(32, "0"), "is a published example") for secret in GUESSABLE),
    *((secret, "has fewer than 8 different characters") for secret in FEW),
    *((secret, "repeats a text of fewer than 32 characters") for secret in REPEATED),
    *((secret, "is wrapped in quotes") for secret in QUOTED),
    *((secret, "has its own name") for secret in NAMED),
]


@pytest.mark.parametrize(
    ("secret", "reason"), REASONS, ids=lambda text: text.replace(RANDOM, "RANDOM")
)
def test_production_refuses_a_guessable_secret_and_says_why(
    environment: pytest.MonkeyPatch, secret: str, reason: str
) -> None:
    assert len(secret) >= 32  # shorter ones are refused for their length
    with pytest.raises(SystemExit) as exit_:
        read(environment, **{**PRODUCTION, "BETTER_AUTH_SECRET": secret})
    sentence = str(exit_.value)
    assert re.fullmatch(rf"Configuration error: BETTER_AUTH_SECRET {reason}\b[^\n]*\.", sentence)
    assert secret not in sentence
    assert RANDOM not in sentence
    assert "quotes" in reason or "name" in reason or ASK_FOR_A_NEW_ONE in sentence


def test_a_known_secret_is_refused_even_if_an_issuer_is_set(
    environment: pytest.MonkeyPatch,
) -> None:
    values = {**PRODUCTION, "BETTER_AUTH_URL": "https://app.example.com"}
    with pytest.raises(SystemExit, match="BETTER_AUTH_SECRET is a published example"):
        read(environment, **{**values, "BETTER_AUTH_SECRET": EXAMPLES[0]})


@pytest.mark.parametrize("secret", [*EXAMPLES, *FEW, *REPEATED])
def test_development_accepts_a_guessable_secret(
    environment: pytest.MonkeyPatch, secret: str
) -> None:
    assert signing_secret(read(environment, BETTER_AUTH_SECRET=secret)) == secret


def openssl(*options: str) -> str:
    command = ["openssl", "rand", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


WORDS = ("anvil", "brook", "cedar", "dwarf", "ember", "fjord", "glyph", "heron", "ivory", "lemur")
CHANCE = random.Random(20261127)
MAKERS: dict[str, Callable[[], str]] = {
    "token_urlsafe(32)": lambda: secrets.token_urlsafe(32),
    "token_hex(32)": lambda: secrets.token_hex(32),
    "token_hex(16)": lambda: secrets.token_hex(16),
    "base64": lambda: b64encode(secrets.token_bytes(32)).decode(),
    "base64 of 24 bytes": lambda: b64encode(secrets.token_bytes(24)).decode(),
    "letters and digits": lambda: picked(string.ascii_letters + string.digits),
    "small letters": lambda: picked(string.ascii_lowercase),
    "digits": lambda: picked(string.digits, 48),
    "letters, digits and punctuation": lambda: picked(
        string.digits + string.ascii_letters + "!#$%&()*+-_."
    ),
    "with a prefix": lambda: f"production-secret-{secrets.token_urlsafe(24)}",
    "a passphrase": lambda: "-".join(CHANCE.choices(WORDS, k=8)),
}


def picked(alphabet: str, length: int = 32) -> str:
    return "".join(CHANCE.choices(alphabet, k=length))


@pytest.mark.parametrize("maker", MAKERS)
def test_production_accepts_every_random_secret(
    environment: pytest.MonkeyPatch, maker: str
) -> None:
    for _ in range(2000):
        check_secret_is_private(MAKERS[maker]())
    secret = MAKERS[maker]()
    assert (
        signing_secret(read(environment, **{**PRODUCTION, "BETTER_AUTH_SECRET": secret})) == secret
    )


@pytest.mark.parametrize("options", [("-base64", "32"), ("-hex", "32"), ("-base64", "48")])
def test_production_accepts_openssl_output_with_its_newline(
    environment: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    secret = openssl(*options)
    settings = read(environment, **{**PRODUCTION, "BETTER_AUTH_SECRET": secret})
    assert signing_secret(settings) == secret.strip()


# A secret in a setting that a reader may copy.
SHOWN = re.compile(r"BETTER_AUTH_SECRET\"?\s*[=:]\s*[\"']?([^\s\"'…]{32,})")


def test_production_refuses_every_secret_shown_in_this_repository(
    environment: pytest.MonkeyPatch,
) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split() or [path.name for path in ROOT.glob("*.md")]
    texts = [(ROOT / name).read_bytes().decode(errors="replace") for name in names]
    for secret in {shown for text in texts for shown in SHOWN.findall(text)}:
        with pytest.raises(SystemExit, match="BETTER_AUTH_SECRET"):
            read(environment, **{**PRODUCTION, "BETTER_AUTH_SECRET": secret})
