"""Which tokens are good, and which secrets."""

from tests.mutations.mutation import Mutation

MUTATIONS = [
    Mutation(
        "expired-token-is-good",
        "A stolen token would be good for ever.",
        'raise TokenExpired("exp has passed")',
        "pass",
        ("test_clocks_may_differ_by_10_seconds", "test_an_expired_token_says_so"),
    ),
    Mutation(
        "token-needs-no-exp",
        "A token without an end would be good for ever.",
        '_time(claims, "exp")',
        '_time(claims, "exp", default=9e9)',
        ("test_a_token_without_an_end_is_refused",),
    ),
    Mutation(
        "exp-may-be-infinite",
        "A token without an end would be good for ever.",
        'raise InvalidToken(f"{name} is not finite")',
        "pass",
        ("test_a_time_is_finite",),
    ),
    Mutation(
        "token-is-good-before-nbf",
        "A token would be good before the issuer says.",
        'raise InvalidToken("nbf is in the future")',
        "pass",
        ("test_clocks_may_differ_by_10_seconds",),
    ),
    Mutation(
        "signature-is-not-checked",
        "Anybody could be any user.",
        'jws.verify(token, {"keys": keys}, [algorithm])',
        'jws.verify(token, {"keys": keys}, [algorithm], verify=False)',
        ("test_another_secret_is_refused",),
    ),
    Mutation(
        "audience-is-not-checked",
        "A token for another service of the same issuer would be good here.",
        'raise InvalidToken(f"another aud: {excerpt(str(given))}")',
        "pass",
        ("test_issuer_and_audience_are_checked_when_they_are_configured",),
    ),
    Mutation(
        "issuer-is-not-checked",
        "A token of another issuer with the same secret would be good here.",
        "raise InvalidToken(f\"another iss: {excerpt(str(claims.get('iss')))}\")",
        "pass",
        ("test_issuer_and_audience_are_checked_when_they_are_configured",),
    ),
    Mutation(
        "algorithm-is-the-tokens-own",
        "The client would choose how its signature is checked.",
        "if algorithm == ALGORITHM and self._key is not None:",
        "if self._key is not None:",
        ("test_the_algorithm_is_ours",),
    ),
    Mutation(
        "key-serves-every-algorithm",
        "A key would verify signatures that its owner never meant it for.",
        """        if algorithm not in self._keys[kid]:
            raise InvalidToken("alg does not fit the key")
        return self._keys[kid][algorithm]""",
        "        return next(iter(self._keys[kid].values()))",
        ("test_an_algorithm_that_does_not_fit_the_key_is_refused",),
    ),
    Mutation(
        "two-authorization-lines",
        "A proxy could look at one token and the service at another.",
        'raise InvalidToken("several Authorization lines")',
        "pass",
        ("test_several_credentials_are_refused_even_if_one_is_valid",),
    ),
    Mutation(
        "claims-outlive-their-key",
        "A token that was verified once would be good after its key was revoked.",
        "keys.changed = self._cached_claims.cache_clear",
        "pass",
        ("test_a_key_that_was_taken_back_is_no_longer_good_nor_what_it_signed_before",),
    ),
    Mutation(
        "known-secret-in-production",
        "Anybody who knows the published example could sign tokens.",
        "check_secret_is_private(self.better_auth_secret.get_secret_value())",
        "pass",
        ("test_production_refuses_a_guessable_secret_and_says_why",),
    ),
    Mutation(
        "short-secret",
        "A short secret can be found by trying.",
        "if len(value.strip()) < SECRET_LENGTH:",
        "if not value.strip():",
        ("test_a_wrong_setting_stops_startup_with_a_sentence_that_names_it",),
    ),
]
