"""The contract: the lean parts give a receiver what the official ones do."""
