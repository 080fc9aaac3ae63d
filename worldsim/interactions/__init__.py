"""Interaction kinds, each independent of the others; they come in by the entry-point group ``worldsim.interactions``."""
