"""Evidence, the text written from it, and the check of that text."""
