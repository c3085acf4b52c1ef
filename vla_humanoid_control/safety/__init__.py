"""The safety gate. Imports neither torch nor ROS."""
