"""Pre-training of ELMo, a bidirectional language model, and use of its embeddings."""
