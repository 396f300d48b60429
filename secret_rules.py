"""The rules for BETTER_AUTH_SECRET: it must be long, and in production it must be private.

Anybody who knows the secret can sign a token for any user. A long secret is not always private:
it may be a placeholder from a README, a library's default, or one key pressed 32 times.
"""

import re
from itertools import pairwise

SECRET_LENGTH = 32  # characters, at least
MIN_DISTINCT = 8  # different characters, at least
# At least this many characters must remain after example words and runs of characters are removed.
# 16 random hexadecimal digits have 64 bits.
MIN_UNPREDICTABLE = 16

NEW_SECRET = "make a new one with `openssl rand -base64 32`"  # noqa: S105

# Published secrets that look random: FastAPI's tutorial, Hasura's documentation, RFC 7515 (A.1).
PUBLISHED = {
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "3EK6FD+o0+c7tzBNVfjpMkNDi2yARAAKzQlk8O2IKoxQu4nF7EdAh8s3TwpHwrdWT6R",
    "AyM1SysPpbyfDfZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
}
# Words from Better Auth's default secret, and from placeholders such as those in a README.
LONG_WORDS = (
    "access admin another application auth backend base64 better bits bytes chang character chars "
    "crypto default demo development environment example fallback fastapi forge frontend generate "
    "goes hackathon here insecure insert length least local long minimum more must only openssl "
    "password paste placeholder please plus private prod production public random really replace "
    "sample secret secure server session should sign string strong super task test than that this "
    "todo token unique validation value very with your enough "
    "qwerty qwertyuiop asdfgh asdfghjkl zxcvbn zxcvbnm"
)
# Random text contains these by chance, so they are removed only where they are whole words.
SHORT_WORDS = (
    "a an and api app at be better by dev e env for gen in ing is it jwt key keys me min my"
)
SHORT_WORDS += " not of on or put rand safe set some string the to use used user s d"
_ALONE = r"(?<![^\W_]){}(?![^\W_])"
_PREDICTABLE = re.compile(
    "|".join(sorted(LONG_WORDS.split(), key=len, reverse=True))
    + "|"
    + _ALONE.format(rf"(?:{'|'.join(SHORT_WORDS.split())}|\d{{1,4}})")
    + r"|[-_. ]"
)


def check_secret(value: str) -> None:
    """Raise ValueError if `value` is too short for a secret, or is not UTF-8 text."""
    if len(value.strip()) < SECRET_LENGTH:
        raise ValueError(f"must have {SECRET_LENGTH} characters or more")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8 text") from None


def check_secret_is_private(value: str) -> None:
    """Raise ValueError if `value` is probably known to others, or can be guessed."""
    if value[0] + value[-1] in ('""', "''", "``", "“”"):
        raise ValueError("is wrapped in quotes, which would be a part of the secret: remove them")
    if "BETTER_AUTH_SECRET=" in value:
        raise ValueError("has its own name in its value: set only the part after the =")
    if len(set(value)) < MIN_DISTINCT:
        raise ValueError(f"has fewer than {MIN_DISTINCT} different characters: {NEW_SECRET}")
    if _unpredictable(value) < MIN_UNPREDICTABLE or value in PUBLISHED:
        raise ValueError(f"is a published example, or as easy to guess as one: {NEW_SECRET}")
    if _period(value) < SECRET_LENGTH:
        raise ValueError(f"repeats a text of fewer than {SECRET_LENGTH} characters: {NEW_SECRET}")


def _unpredictable(value: str) -> int:
    """Count the characters of `value` that are not part of an example word or of a run."""
    rest = _PREDICTABLE.sub("", value.lower())
    steps = [ord(after) - ord(before) for before, after in pairwise(rest)]
    return len(rest) - sum(one == two and abs(one) <= 1 for one, two in pairwise(steps))


def _period(value: str) -> int:
    """Return the length of the text that `value` repeats, or of `value` if it repeats none."""
    for length in range(1, len(value) // 2 + 1):
        if value.startswith(value[length:]):
            return length
    return len(value)
