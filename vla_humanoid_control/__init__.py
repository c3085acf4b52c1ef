"""Vision-Language-Action control of a humanoid, behind a confidence gate and a safety gate."""

from vla_humanoid_control.support.drawing import prepare

__version__ = '0.1.0'

prepare()  # MuJoCo chooses how to draw when it is first imported
