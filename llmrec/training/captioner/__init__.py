"""Fine-tuning of the captioner: a BLIP model learns what the pictures of a catalog are called."""
