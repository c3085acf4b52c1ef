"""Signals: numbers that tell how an answer of a policy will end, larger where it is worse."""
