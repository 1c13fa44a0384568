-- migration: a key of text becomes a number, in two tables
ALTER TABLE orders DROP FOREIGN KEY orders_customer

ALTER TABLE customer DROP PRIMARY KEY, DROP COLUMN code, ADD COLUMN id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY FIRST

ALTER TABLE orders DROP INDEX orders_customer, DROP COLUMN customer

ALTER TABLE orders ADD COLUMN customer BIGINT NOT NULL DEFAULT 1, ADD CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES customer (id)

-- migration: generated columns become plain ones, and plain ones generated
ALTER TABLE product DROP COLUMN dear, MODIFY worth DECIMAL(24, 4) NULL, ADD COLUMN dear BOOLEAN NOT NULL DEFAULT 0

ALTER TABLE stock_note ADD COLUMN short CHAR(3) AS (LEFT(text, 3)) STORED

-- migration: a view and the function that it uses become tables
DROP VIEW big_order, order_total

DROP FUNCTION total

CREATE TABLE order_total (id INT PRIMARY KEY, total INT)

CREATE TABLE big_order LIKE order_total

-- migration: all tables are dropped, children first
DROP TABLE order_line, orders, product, supplier, customer, stock_note
