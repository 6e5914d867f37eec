"""PlanDefinition/$apply: conditions in three-valued logic, actions, requests, explanations, assembled as R4 or R5."""
