"""Programs that talk to a running graph: the director of the demo, evaluation through nodes."""
