"""Parse lines into event tables: wrappers, envelopes, rules, and the account of every line."""
