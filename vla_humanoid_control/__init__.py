"""Vision-Language-Action control of a humanoid, with a calibrated confidence gate and a safety gate."""

__version__ = '0.1.0'
