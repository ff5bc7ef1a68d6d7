"""How fast our TabNet is beside its peers, and how far from what the machine allows: see README.md."""
