-- The order of match keys decides whether two records are joined by themselves. Some that stood in the queue because a
-- later key tells them apart may be joined now: all are looked into once more.

update duplicate set considered = false where considered;
