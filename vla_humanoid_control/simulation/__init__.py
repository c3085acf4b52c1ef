"""The MuJoCo humanoid, its room, the scripted expert, and the judge of success."""
