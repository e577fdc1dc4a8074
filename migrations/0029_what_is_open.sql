-- What operators look for: open exceptions of one kind, and lines of statements that nothing of ours matches.

CREATE INDEX exceptions_by_kind ON exceptions (kind, id);
CREATE INDEX provider_movements_unmatched ON provider_movements (at, provider, kind, reference) WHERE NOT matched;
