"""What the body says of itself."""
