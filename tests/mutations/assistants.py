"""The MCP server: each call uses its own user's token, and only safe requests are repeated."""

from tests.mutations.mutation import Mutation

MUTATIONS = [
    Mutation(
        "mcp-token-of-another-call",
        "An assistant would work with the tasks of another user.",
        "yield State(tasks_of)",
        "first = []; "
        "yield State(lambda ctx: first[0] if first else (first.append(tasks_of(ctx)) or first[0]))",
        ("test_concurrent_users_see_only_their_own_tasks",),
    ),
    Mutation(
        "mcp-keeps-cookies",
        "A proxy could mistake one user for another.",
        "CookieJar(DefaultCookiePolicy(allowed_domains=[]))",
        "CookieJar()",
        ("test_a_proxys_cookie_is_not_sent_back",),
    ),
    Mutation(
        "mcp-creates-twice",
        "After a lost response there would be two tasks.",
        'headers["Idempotency-Key"] = secrets.token_hex(16)',
        "pass",
        ("test_a_creation_whose_response_is_lost_creates_one_task",),
    ),
    Mutation(
        "mcp-one-key-for-every-creation",
        "The second task would be refused, or the first one returned in its place.",
        'headers["Idempotency-Key"] = secrets.token_hex(16)',
        'headers["Idempotency-Key"] = "key"',
        ("test_two_creations_create_two_tasks",),
    ),
    Mutation(
        "mcp-counts-what-is-left",
        "An assistant would say that nothing was deleted.",
        "_had_no_effect if once else _may_repeat",
        "_may_repeat",
        ("test_a_request_marked_once_is_not_sent_again_after_a_lost_response",),
    ),
    Mutation(
        "mcp-refusal-is-a-result",
        "An assistant would not renew a token that the API refuses.",
        "self._on_refused(str(refused))",
        "pass",
        ("test_a_token_that_the_api_refuses_gets_a_401",),
    ),
    Mutation(
        "mcp-expired-token-goes-on",
        "An assistant would not renew its token before the first call.",
        "if caller.has_expired:",
        "if False:",
        ("test_a_token_that_cannot_be_valid_is_refused_before_the_api_is_called",),
    ),
    Mutation(
        "mcp-any-host",
        "A web page could reach the server by DNS rebinding.",
        "allowed_hosts=[host, *local],",
        "enable_dns_rebinding_protection=False,",
        ("test_requests_from_pages_of_other_sites_are_refused",),
    ),
    Mutation(
        "mcp-logs-urls",
        "The log would contain what users search for.",
        'logging.getLogger("httpx2").setLevel(logging.WARNING)',
        "pass",
        ("test_neither_tokens_nor_arguments_are_logged",),
    ),
]
