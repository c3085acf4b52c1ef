"""Reading and writing what policies learn from."""
