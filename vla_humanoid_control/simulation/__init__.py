"""The MuJoCo humanoid, its room, tasks, environment, and the scripted expert."""

import os

# MuJoCo chooses how to draw when it is first imported: off screen, unless the user says otherwise.
os.environ.setdefault('MUJOCO_GL', 'egl')
