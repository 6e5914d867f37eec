"""CDS Hooks cards as a projection of applied plans, and the messages they travel in."""
