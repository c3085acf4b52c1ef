"""Image decoding and resizing, alignment by stamp."""
