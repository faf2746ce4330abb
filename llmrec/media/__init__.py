"""Pictures, sound and video that a catalog refers to."""
