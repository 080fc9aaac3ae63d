"""Interaction kinds, each independent of the others; entry-point group ``worldsim.interactions``."""
