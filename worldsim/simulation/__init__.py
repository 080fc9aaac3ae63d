"""The true world: physics engines, recordings, sensors, and the Gymnasium environment over them."""
