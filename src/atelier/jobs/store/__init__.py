"""SQL of jobs: a query is a function, transaction first, the owner part of the question."""
