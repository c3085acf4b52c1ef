"""Tokens of several kinds to one."""
