"""The parts of the biLM: cells that are built from numbers."""
