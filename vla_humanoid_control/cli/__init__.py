"""The `vla` command."""
