"""What any part may use: errors, bounds, files, processes."""
