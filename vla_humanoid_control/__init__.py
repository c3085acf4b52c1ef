"""Vision-Language-Action control of a humanoid, behind a confidence gate and a safety gate."""

__version__ = '0.1.0'
