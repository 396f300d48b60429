"""The bytes of a request: limits, framing, and malformed HTTP."""

from tests.mutations.mutation import Mutation


def case(name: str) -> tuple[str, ...]:
    """Return the test that runs this case of tests/http1."""
    return (f"test_a_case_has_one_of_its_outcomes[{name}]",)


LIMITS = [
    Mutation(
        "memory-of-a-large-head",
        "A client without a token could use up the memory for the requests of all users.",
        "self.head_memory.release()",
        "pass",
        ("test_the_memory_of_a_request_that_fails_is_released",),
    ),
    Mutation(
        "body-over-64-kib",
        "A client could fill the memory.",
        "MAX_BODY = 64 * 1024",
        "MAX_BODY = 65 * 1024",
        ("test_a_body_over_64_kib_is_refused_with_a_413",),
    ),
    Mutation(
        "chunks-without-limit",
        "A client that does not declare the length could fill the memory.",
        "if len(body) > limit:",
        "if False:",
        ("test_a_chunked_body_is_refused_before_its_end",),
    ),
    Mutation(
        "header-lines-without-limit",
        "Each line costs CPU time and memory.",
        "MAX_LINES = 100  # of headers",
        "MAX_LINES = 100_000",
        case("101 header lines"),
    ),
    Mutation(
        "head-without-limit",
        "A client without a token could fill the memory.",
        "MAX_HEAD = 64 * 1024",
        "MAX_HEAD = 64 * 1024 * 1024",
        ("test_a_large_head_gets_a_431",),
    ),
    Mutation(
        "trailers-without-limit",
        "A client without a token could send trailers forever.",
        "if self._framing > MAX_FRAMING:",
        "if False:",
        case("over 64 KiB: in many trailers"),
    ),
]

FRAMING = [
    Mutation(
        "trailers-are-refused",
        "A client that sends trailers would get a 400 and lose its connection.",
        "if TRAILER.fullmatch(line) is None:",
        r'if line != b"\r\n":',
        ("test_trailers_are_not_used_as_token_or_idempotency_key",),
    ),
    Mutation(
        "trailers-begin-a-request",
        "A client's trailer would be parsed as another request.",
        r'self.complete = line == b"\r\n"',
        "self.complete = True",
        case(r"trailers 'X: from-trailer\\r\\nY: from-trailer'"),
    ),
    Mutation(
        "any-number-of-hosts",
        "A proxy could look at one Host and the service at another.",
        'raise malformed("must have exactly one Host header")',
        "pass",
        case("no Host") + case("two Hosts"),
    ),
    Mutation(
        "malformed-host",
        "An invalid Host could get into a URL.",
        'raise malformed("must have a valid Host header")',
        "pass",
        case("Host 'a/b'"),
    ),
    Mutation(
        "unknown-transfer-encoding",
        "The compressed bytes would be parsed as the content.",
        "raise TransferEncodingNotImplemented",
        "pass",
        case("Transfer-Encoding 'gzip, chunked'"),
    ),
    Mutation(
        "two-framings",
        "Request smuggling: a proxy and the service would disagree on where the body ends.",
        'raise malformed("must not have both Transfer-Encoding and Content-Length")',
        "pass",
        case("Content-Length and Transfer-Encoding"),
    ),
    Mutation(
        "upgrade-is-refused",
        "Clients that offer HTTP/2, such as Java's, would not be served.",
        "return  # an offer, which a server may ignore (RFC 9110, section 7.8)",
        'raise malformed("must not offer an upgrade") from None',
        ("test_each_request_that_offers_an_upgrade_creates_one_task",),
    ),
]

REFUSALS = [
    Mutation(
        "body-forges-the-origin",
        "A page could not read the error, or a body would choose the origin that may read it.",
        "scope = self._exchange.scope if self._exchange else scope_of(self._buffer.peek())",
        "scope = scope_of(self._buffer.peek())",
        ("test_a_body_can_not_forge_the_origin",),
    ),
]

MUTATIONS = [*LIMITS, *FRAMING, *REFUSALS]
