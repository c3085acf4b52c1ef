"""Programs that talk to a running graph: operator, director, evaluation through the nodes."""
