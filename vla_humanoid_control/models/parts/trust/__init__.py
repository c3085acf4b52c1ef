"""What tells success from failure."""
