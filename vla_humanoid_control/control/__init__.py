"""From observations and words to proposals: the controller and what it is made of."""
