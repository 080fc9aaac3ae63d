"""A plug-in that breaks its contract."""

from worldsim.contracts import ObjectModel


class Unwritten(ObjectModel):
    """Says that it is an object model, and not how the object moves."""

    family = "unwritten"
