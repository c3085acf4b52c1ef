"""What can be asked: families, arguments, keys, and the words for each."""
