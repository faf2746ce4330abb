"""Fine-tuning: the log becomes pairs of texts, a LoRA adapter brings the texts of a pair together."""
