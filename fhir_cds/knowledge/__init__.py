"""The guideline content as an immutable registry, with typed views of plans, activities and services."""
