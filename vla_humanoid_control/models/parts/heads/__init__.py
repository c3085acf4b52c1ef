"""What is taught, and answers."""
