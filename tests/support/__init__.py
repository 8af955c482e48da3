"""Stand-ins and small models that the tests share."""
