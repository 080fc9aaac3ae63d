"""Pure torch mathematics of rigid bodies: rotations, geometry and the contact solver."""
