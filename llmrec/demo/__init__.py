"""What ``llmrec demo`` shows beside MovieLens."""
