"""A Unitree robot behind the messages of its SDK. Imports no ROS; never run on a machine."""
