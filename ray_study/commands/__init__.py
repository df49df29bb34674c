"""The verbs that do more than print: one module a verb. What is heavy is imported inside the verb, so that the light ones stay light."""
