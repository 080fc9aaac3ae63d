"""Sim-to-real: models that learned from the train split, scored on recordings that no fit has seen."""
