"""Translation with gated recurrent units and attention."""
