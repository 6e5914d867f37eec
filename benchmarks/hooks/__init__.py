"""The CDS Hooks service under load, beside peers that answer with a fixed card."""
