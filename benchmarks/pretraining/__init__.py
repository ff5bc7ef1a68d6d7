"""Whether weights from cells without labels, or from a related study, help where labels are few."""
