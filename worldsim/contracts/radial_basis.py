"""The basis in which a central force of unknown law is read: kinds of interaction and the graph speak of the same."""

POWERS = (1, 0, -1, -2)
"""Exponents of the distance in the basis {r, 1, 1/r, 1/r^2}."""

TERMS = ("r", "1", "1/r", "1/r^2")
"""The same in words, as the cards of interactions name them."""
