"""Clients of policy servers: each speaks to the address that it was given, and listens nowhere.

Nothing else in the package opens a connection, except what ROS does.
"""
