"""Training: behaviour cloning, the confidence stage, augmentation, configuration."""
