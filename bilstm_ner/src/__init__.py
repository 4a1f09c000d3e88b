"""Named entities with BiLSTM and BiLSTM-CRF networks."""
