"""Vision-Language-Action control of a humanoid, behind a confidence gate and a safety gate."""

import os

__version__ = '0.1.0'

# MuJoCo chooses how to draw when it is first imported: off screen, unless the user says otherwise.
os.environ.setdefault('MUJOCO_GL', 'egl')
