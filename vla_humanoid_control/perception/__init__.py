"""Decoding of images, alignment by stamp, joint states, plausibility of an image."""
