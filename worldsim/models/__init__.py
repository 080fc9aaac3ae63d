"""Object models, each independent of the others; they come in by the entry-point group ``worldsim.object_models``."""
