-- migration: a key of text becomes a number, in two tables
ALTER TABLE trade.orders DROP CONSTRAINT orders_customer_fkey;
ALTER TABLE trade.customer DROP CONSTRAINT customer_pkey, ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;
ALTER TABLE trade.orders ADD customer_id bigint REFERENCES trade.customer;

-- migration: tables, views and types move to other schemas
-- refused: view stock.total
ALTER TABLE trade.customer SET SCHEMA stock;
ALTER VIEW trade.total SET SCHEMA stock;
ALTER TYPE stock.unit SET SCHEMA empty;
-- afterwards
DROP VIEW stock.total CASCADE;
DROP TABLE stock.customer CASCADE;
DROP TYPE empty.unit CASCADE;

-- migration: generated columns become plain ones, and plain ones generated
ALTER TABLE stock.product ALTER worth DROP EXPRESSION, DROP upper_name;
ALTER TABLE stock.product ADD upper_name text GENERATED ALWAYS AS (lower(name)) STORED;

-- migration: schemas are dropped, one with all that is in it
DROP SCHEMA empty;
DROP SCHEMA stock CASCADE;

-- migration: an enum of one schema becomes a table, and what uses it a text
ALTER TABLE stock.product ALTER unit DROP DEFAULT, ALTER unit TYPE text;
DROP TYPE stock.unit;
CREATE TABLE stock.unit (name text PRIMARY KEY);

-- migration: a partition of another schema becomes a table, and its table a view
DELETE FROM trade.line;
ALTER TABLE trade.orders DETACH PARTITION stock.orders_2;
DROP TABLE trade.orders CASCADE;
CREATE VIEW trade.orders AS SELECT * FROM stock.orders_2;
