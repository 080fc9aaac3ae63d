"""Rigid-body mathematics in torch, shared by object models and inference: rotations, shapes, contact."""

from worldsim.dynamics.bodies import ContactBodies, ContactResult, ContactSettings, Obstacles
from worldsim.dynamics.contact import resolve_contacts

__all__ = ["ContactBodies", "ContactResult", "ContactSettings", "Obstacles", "resolve_contacts"]
