CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci

USE shop

CREATE TABLE supplier (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, company VARCHAR(60) NOT NULL, country CHAR(2) CHARACTER SET ascii NOT NULL, UNIQUE KEY (company, country))

INSERT INTO supplier VALUES (1, 'Grün & Söhne', 'DE'), (2, 'O''Brien "Ltd"', 'IE')

CREATE TABLE product (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  supplier INT NOT NULL,
  name VARCHAR(80) NOT NULL,
  price DECIMAL(12, 4) UNSIGNED NOT NULL,
  in_stock INT NOT NULL DEFAULT (2 * 5),
  worth DECIMAL(24, 4) AS (price * in_stock) STORED,
  dear BOOLEAN AS (price > 100) VIRTUAL,
  tags JSON NOT NULL DEFAULT (JSON_ARRAY()),
  KEY by_worth (worth DESC, name ASC),
  KEY by_dear (dear),
  CONSTRAINT product_supplier FOREIGN KEY (supplier) REFERENCES supplier (id),
  CONSTRAINT product_tags CHECK (JSON_VALID(tags))
)

INSERT INTO product (id, supplier, name, price, in_stock, tags) VALUES (1, 1, 'Käse', 12.3456, 3, '["cold", "ä"]'), (2, 2, 'tea; "green"', 0, 0, '[]'), (10, 2, 'gold', 1999.9999, 1, '[1, null, {"a": []}]')

CREATE TABLE customer (code CHAR(5) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, name VARCHAR(60) NOT NULL, since DATE)

INSERT INTO customer VALUES ('ALFKA', 'Al', '2001-02-03'), ('alfka', 'other', NULL)

CREATE TABLE orders (
  id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer CHAR(5) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  follows INT NULL,
  placed DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
  CONSTRAINT orders_customer FOREIGN KEY (customer) REFERENCES customer (code) ON UPDATE CASCADE,
  CONSTRAINT orders_follows FOREIGN KEY (follows) REFERENCES orders (id) ON DELETE CASCADE
)

INSERT INTO orders VALUES (1, 'ALFKA', NULL, '2024-01-01'), (2, 'alfka', 1, '2024-01-02 03:04:05')

CREATE TABLE order_line (
  order_id INT NOT NULL,
  product INT NOT NULL,
  n SMALLINT NOT NULL DEFAULT 1,
  discount DOUBLE NOT NULL DEFAULT 0,
  PRIMARY KEY (order_id, product),
  CONSTRAINT line_order FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE,
  CONSTRAINT line_product FOREIGN KEY (product) REFERENCES product (id),
  CONSTRAINT line_n CHECK (n > 0 AND discount BETWEEN 0 AND 1)
)

INSERT INTO order_line VALUES (1, 1, 2, 0.1), (1, 2, 1, 0), (2, 10, 1, 0.3333333333333333)

CREATE TABLE stock_note (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, product INT NOT NULL, text VARCHAR(100))

CREATE TRIGGER line_added AFTER INSERT ON order_line FOR EACH ROW
BEGIN
  UPDATE product SET in_stock = in_stock - NEW.n WHERE id = NEW.product;
  IF (SELECT in_stock FROM product WHERE id = NEW.product) < 0 THEN
    INSERT INTO stock_note (product, text) VALUES (NEW.product, 'too few; order "more"');
  END IF;
END

INSERT INTO order_line (order_id, product, n) VALUES (2, 2, 7)

CREATE FUNCTION total(of_order INT) RETURNS DECIMAL(20, 2) READS SQL DATA RETURN (SELECT SUM(l.n * p.price * (1 - l.discount)) FROM order_line l JOIN product p ON p.id = l.product WHERE l.order_id = of_order)

CREATE VIEW order_total AS SELECT o.id, c.name, total(o.id) AS total FROM orders o JOIN customer c ON c.code = o.customer

CREATE VIEW big_order AS SELECT * FROM order_total WHERE total > 10
