"""The interaction graph: candidate pairs, edge evidence, the typed posterior."""
