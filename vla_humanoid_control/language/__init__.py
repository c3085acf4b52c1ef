"""Instruction intake: validation, stop words, phrasings."""
