"""The commands of ``worldsim``, one file a command. A file imports what is heavy inside its function."""
