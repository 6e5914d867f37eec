"""Follow-up: due windows from phases and an anchor, matched with what was done; as CarePlan, iCalendar, text."""
