"""Fine-tuning of the explainer: a small language model learns to phrase numbered evidence."""
