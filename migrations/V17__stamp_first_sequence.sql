-- The log in partitions (V18) finds stamps by their first sequence. An index of its own migration: it wants no lock but that of
-- gom.stamp, which each stamper and trimmer gives back before long.
--
-- Of the sum, which only the queries of V18 name: PostgreSQL would look for `min(first_sequence)` of the newest stamps along all
-- older ones. See engine/src/sql/history.rs.
CREATE INDEX stamp_first_sequence ON gom.stamp ((first_sequence + 0));
