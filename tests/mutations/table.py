"""All mutations."""

from tests.mutations import access, assistants, database, hostile, http, load, tasks, tokens

MUTATIONS = [
    *access.MUTATIONS,
    *tokens.MUTATIONS,
    *tasks.MUTATIONS,
    *http.MUTATIONS,
    *hostile.MUTATIONS,
    *load.MUTATIONS,
    *database.MUTATIONS,
    *assistants.MUTATIONS,
]
