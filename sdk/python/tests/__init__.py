"""Unit tests; what a real relay is needed for is in sdk/scenarios."""
