"""A query that describes the tables of a database. Equal tables have equal descriptions."""

# Every column, constraint, index, sequence and function, without OIDs, which always differ.
TABLES = "ANY ('{tasks,idempotency_keys}'::regclass[])"
DESCRIPTION = f"""
SELECT 'column', attrelid::regclass || '.' || attname, '', format_type(atttypid, atttypmod),
       concat_ws(' ', attnotnull, attidentity, collname), pg_get_expr(adbin, adrelid)
FROM pg_attribute LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
     LEFT JOIN pg_collation ON pg_collation.oid = attcollation
WHERE attrelid = {TABLES} AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', conname, contype::text, pg_get_constraintdef(oid), convalidated::text, NULL
FROM pg_constraint WHERE conrelid = {TABLES}
UNION ALL
SELECT 'index', relname, pg_get_indexdef(oid), '', '', NULL
FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = {TABLES}
UNION ALL
SELECT 'sequence', sequencename, data_type::text, start_value::text, increment_by::text, NULL
FROM pg_sequences WHERE schemaname = current_schema
UNION ALL
SELECT 'function', oid::regprocedure::text, '', pg_get_functiondef(oid), '', NULL
FROM pg_proc WHERE pronamespace = current_schema::regnamespace
ORDER BY 1, 2
"""
