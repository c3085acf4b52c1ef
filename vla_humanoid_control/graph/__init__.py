"""The processes of the graph: which there are, how they start, and in which ROS domain."""
