"""Instruction intake: validation, stop words, negation and condition, the text encoder."""
