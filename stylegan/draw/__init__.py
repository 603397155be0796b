"""Drawing images from a checkpoint, and scoring them."""
