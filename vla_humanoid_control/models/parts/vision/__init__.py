"""Images to tokens."""
