"""Programs that use a trained biLM in a task."""
