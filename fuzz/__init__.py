"""Random worlds around the safety gate. Not installed on robots."""
