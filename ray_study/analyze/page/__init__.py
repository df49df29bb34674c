"""The sections of the report's page: of each a function that gives its contents, and the partial template of the same name beside it."""
