"""Scenarios: one situation a file, each an entry point of the group `worldsim.scenarios`."""
