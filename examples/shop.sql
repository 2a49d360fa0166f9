-- A shop of 8 tables and some 300,000 rows, made in a few seconds by MariaDB
-- itself (its SEQUENCE engine); always the same rows. A ninth, tmp_import, is
-- there to be left out.
CREATE DATABASE shop CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
USE shop;
SET time_zone = '+00:00', foreign_key_checks = 0, unique_checks = 0;

CREATE TABLE categories (
  id     SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
  parent SMALLINT UNSIGNED NULL,
  name   VARCHAR(60) NOT NULL,
  FOREIGN KEY (parent) REFERENCES categories (id)
);
CREATE TABLE products (
  id         INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  category   SMALLINT UNSIGNED NOT NULL,
  sku        CHAR(12) CHARACTER SET ascii NOT NULL UNIQUE,
  name       VARCHAR(120) NOT NULL,
  price      DECIMAL(12,2) NOT NULL,
  weight     DOUBLE NULL,
  stock      INT NOT NULL,
  attributes JSON NULL,
  photo      VARBINARY(16) NULL,
  FOREIGN KEY (category) REFERENCES categories (id)
);
CREATE TABLE customers (
  id      INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  email   VARCHAR(120) NOT NULL UNIQUE,
  name    VARCHAR(80) NOT NULL,
  born    DATE NULL,
  tier    ENUM('plain','silver','gold') NOT NULL DEFAULT 'plain',
  flags   SET('news','sms','post') NOT NULL DEFAULT '',
  balance DECIMAL(20,6) NOT NULL DEFAULT 0,
  joined  TIMESTAMP(3) NOT NULL,
  note    TEXT NULL
);
CREATE TABLE addresses (
  customer INT UNSIGNED NOT NULL,
  kind     CHAR(1) NOT NULL,
  street   VARCHAR(120) NOT NULL,
  city     VARCHAR(60) NOT NULL,
  country  CHAR(2) NOT NULL,
  PRIMARY KEY (customer, kind),
  FOREIGN KEY (customer) REFERENCES customers (id)
);
CREATE TABLE orders (
  id       BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  customer INT UNSIGNED NOT NULL,
  status   ENUM('new','paid','sent','back') NOT NULL,
  placed   DATETIME(6) NOT NULL,
  total    DECIMAL(14,2) NOT NULL,
  notes    JSON NULL,
  KEY (customer),
  FOREIGN KEY (customer) REFERENCES customers (id)
);
CREATE TABLE order_items (
  order_id BIGINT UNSIGNED NOT NULL,
  line     TINYINT UNSIGNED NOT NULL,
  product  INT UNSIGNED NOT NULL,
  quantity SMALLINT NOT NULL,
  price    DECIMAL(12,2) NOT NULL,
  PRIMARY KEY (order_id, line),
  KEY (product),
  FOREIGN KEY (order_id) REFERENCES orders (id),
  FOREIGN KEY (product) REFERENCES products (id)
);
CREATE TABLE payments (
  code     BINARY(8) NOT NULL PRIMARY KEY,
  order_id BIGINT UNSIGNED NOT NULL,
  amount   DECIMAL(30,10) NOT NULL,
  paid     DATETIME NOT NULL,
  bits     BIT(5) NOT NULL,
  KEY (order_id),
  FOREIGN KEY (order_id) REFERENCES orders (id)
);
CREATE TABLE reviews (
  product INT UNSIGNED NOT NULL,
  author  VARCHAR(40) NOT NULL,
  stars   TINYINT NOT NULL,
  text    TEXT NULL,
  year    YEAR NOT NULL,
  PRIMARY KEY (product, author),
  FOREIGN KEY (product) REFERENCES products (id)
);
CREATE TABLE tmp_import (id INT PRIMARY KEY, line TEXT);

INSERT INTO categories
  SELECT seq, IF(seq <= 8, NULL, 1 + seq % 8), CONCAT(ELT(1 + seq % 6, 'Bücher', 'Чай', '茶', 'Fahrräder', 'صابون', 'Ωδή'), ' ', seq)
  FROM seq_1_to_60;
INSERT INTO products
  SELECT seq, 1 + CRC32(seq) % 60, CONCAT('SKU-', LPAD(seq, 8, '0')),
    CONCAT(ELT(1 + seq % 5, 'Kanne "blau"', 'Tasse, weiß', 'Löffel\nzweizeilig', '急須', 'Teapot 🫖'), ' ', seq),
    (CRC32(CONCAT('p', seq)) % 1000000) / 100, IF(seq % 7 = 0, NULL, CRC32(seq) / 1e7), CRC32(seq) % 500,
    IF(seq % 9 = 0, NULL, JSON_OBJECT('colour', ELT(1 + seq % 3, 'blau', 'grün', NULL), 'sizes', JSON_ARRAY(seq % 5, 'L', TRUE, NULL), 'text', 'a "quoted" \\ line')),
    IF(seq % 11 = 0, NULL, UNHEX(MD5(seq)))
  FROM seq_1_to_8000;
INSERT INTO customers
  SELECT seq, CONCAT('c', seq, '@example.org'), CONCAT(ELT(1 + seq % 6, 'Zoë', 'Łukasz', '王小明', 'Åsa', 'Δημήτρης', 'O''Neil'), ' ', seq),
    IF(seq % 5 = 0, NULL, DATE '1940-01-01' + INTERVAL CRC32(seq) % 25000 DAY), 1 + CRC32(seq) % 3, CRC32(CONCAT('f', seq)) % 8,
    (CAST(CRC32(CONCAT('b', seq)) % 2000000 AS SIGNED) - 1000000) / 1000000, TIMESTAMP '2015-01-01 00:00:00' + INTERVAL CRC32(seq) % 300000000 SECOND + INTERVAL seq % 1000 * 1000 MICROSECOND,
    CASE seq % 4 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'NULL' ELSE CONCAT('a, "b"\r\nc\t\\N ', seq) END
  FROM seq_1_to_30000;
INSERT INTO addresses
  SELECT 1 + seq DIV 2, IF(seq % 2, 'b', 'h'), CONCAT('Straße ', CRC32(seq) % 1000), ELT(1 + seq % 4, 'København', 'São Paulo', '東京', 'Łódź'), ELT(1 + seq % 4, 'DK', 'BR', 'JP', 'PL')
  FROM seq_0_to_39999;
INSERT INTO orders
  SELECT seq, 1 + CRC32(seq) % 30000, 1 + CRC32(CONCAT('s', seq)) % 4, TIMESTAMP '2024-01-01 00:00:00' + INTERVAL CRC32(seq) % 50000000 SECOND + INTERVAL seq MICROSECOND,
    (CRC32(CONCAT('t', seq)) % 10000000) / 100, IF(seq % 3, NULL, JSON_OBJECT('gift', seq % 2 = 0, 'from', 'ネット'))
  FROM seq_1_to_60000;
INSERT INTO order_items
  SELECT 1 + seq DIV 2, 1 + seq % 2, 1 + CRC32(seq) % 8000, 1 + CRC32(seq) % 9, (CRC32(CONCAT('i', seq)) % 1000000) / 100
  FROM seq_0_to_119999;
INSERT INTO payments
  SELECT UNHEX(LEFT(SHA1(seq), 16)), seq, (CRC32(CONCAT('t', seq)) % 10000000) / 100 + 1e-10 * (seq % 7), TIMESTAMP '2024-01-01 00:00:00' + INTERVAL CRC32(seq) % 50000000 SECOND, seq % 32
  FROM seq_1_to_50000;
INSERT INTO reviews
  SELECT 1 + seq % 8000, CONCAT('author ', seq), 1 + CRC32(seq) % 5, IF(seq % 6 = 0, NULL, CONCAT('“', REPEAT('schön ', seq % 20), '”')), 2000 + seq % 25
  FROM seq_1_to_12000;
INSERT INTO tmp_import SELECT seq, 'not for the lake' FROM seq_1_to_100;
