"""The stages of the world model's step, on one state; `worldsim.loop` calls them in order."""
