"""Agents that act on a world model's belief: one agent a file, each an entry point of the group `worldsim.agents`."""
