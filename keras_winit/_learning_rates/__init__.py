"""Learning rates of their own for the weights of a model."""
