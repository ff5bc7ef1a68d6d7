"""RNA and surface protein together: what is gained, and what is left when one of them is missing."""
