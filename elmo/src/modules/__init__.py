"""The parts of the biLM; each is a cell that knows numbers only."""
