"""The MuJoCo humanoid, its room, tasks, environment, and the scripted expert."""
