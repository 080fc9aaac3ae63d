"""From alarm to model: candidates are tested on what is seen, the winner is adopted, or a new model is learned."""
