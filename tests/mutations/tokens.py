"""Which tokens and which secrets are accepted."""

from tests.mutations.mutation import Mutation

MUTATIONS = [
    Mutation(
        "expired-token-is-good",
        "A stolen token would be valid forever.",
        'raise TokenExpired("exp has passed")',
        "pass",
        (
            "test_clocks_may_differ_by_10_seconds",
            "test_an_expired_token_gets_an_error_that_says_so",
        ),
    ),
    Mutation(
        "token-needs-no-exp",
        "A token without exp would be valid forever.",
        '_time(claims, "exp")',
        '_time(claims, "exp", default=9e9)',
        ("test_a_token_without_exp_is_refused",),
    ),
    Mutation(
        "exp-may-be-infinite",
        "A token with an infinite exp would be valid forever.",
        'raise InvalidToken(f"{name} is not finite")',
        "pass",
        ("test_a_time_must_be_finite",),
    ),
    Mutation(
        "token-is-good-before-nbf",
        "A token would be valid before the time that the issuer chose.",
        'raise InvalidToken("nbf is in the future")',
        "pass",
        ("test_clocks_may_differ_by_10_seconds",),
    ),
    Mutation(
        "signature-is-not-checked",
        "Anybody could act as any user.",
        'jws.verify(token, {"keys": keys}, [algorithm])',
        'jws.verify(token, {"keys": keys}, [algorithm], verify=False)',
        ("test_a_token_signed_with_another_secret_is_refused",),
    ),
    Mutation(
        "audience-is-not-checked",
        "A token for another service of the same issuer would be accepted.",
        'raise InvalidToken(f"another aud: {excerpt(str(given))}")',
        "pass",
        ("test_issuer_and_audience_are_checked_when_they_are_configured",),
    ),
    Mutation(
        "issuer-is-not-checked",
        "A token of another issuer with the same secret would be accepted.",
        "raise InvalidToken(f\"another iss: {excerpt(str(claims.get('iss')))}\")",
        "pass",
        ("test_issuer_and_audience_are_checked_when_they_are_configured",),
    ),
    Mutation(
        "algorithm-is-the-tokens-own",
        "The client would choose how its signature is checked.",
        "if algorithm == ALGORITHM and self._key is not None:",
        "if self._key is not None:",
        ("test_the_token_does_not_choose_the_algorithm",),
    ),
    Mutation(
        "key-serves-every-algorithm",
        "A key would verify signatures of an algorithm for which it was not published.",
        """        if algorithm not in self._keys[kid]:
            raise InvalidToken("alg does not match the key")
        return self._keys[kid][algorithm]""",
        "        return next(iter(self._keys[kid].values()))",
        ("test_an_algorithm_that_does_not_match_the_key_is_refused",),
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
        "A token that was verified once would stay valid after its key was revoked.",
        "keys.changed = self._cached_claims.cache_clear",
        "pass",
        ("test_a_revoked_key_and_the_tokens_that_it_signed_are_no_longer_valid",),
    ),
    Mutation(
        "known-secret-in-production",
        "Anybody could sign tokens with the secret of the published example.",
        "check_secret_is_private(self.better_auth_secret.get_secret_value())",
        "pass",
        ("test_production_refuses_a_guessable_secret_and_says_why",),
    ),
    Mutation(
        "short-secret",
        "A short secret can be found by brute force.",
        "if len(value.strip()) < SECRET_LENGTH:",
        "if not value.strip():",
        ("test_a_wrong_setting_stops_startup_with_a_sentence_that_names_it",),
    ),
]
