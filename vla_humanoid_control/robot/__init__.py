"""What is known of a robot: its file, its limits, its kinematics."""
