"""What every node is built on: lifecycle, parameters, messages, quality of service."""
