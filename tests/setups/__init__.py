"""Set-ups that operators get wrong, and what the service says in each: `scripts/setups`."""
