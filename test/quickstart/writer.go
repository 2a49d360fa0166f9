package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-mysql-org/go-mysql/client"

	"godwit/test/servers/mariadb"
)

// pause between two transactions: some hundreds a second, as a busy shop has.
const pause = time.Millisecond

// writer changes the shop until it is stopped.
type writer struct {
	cancel context.CancelFunc
	done   chan struct{}
	count  int
	err    error
}

func startWriter(ctx context.Context, s *mariadb.Server, seed uint64) (*writer, error) {
	c, err := client.Connect(s.Socket, s.User, s.Password, "shop")
	if err != nil {
		return nil, fmt.Errorf("writer: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &writer{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = errors.Join(w.write(ctx, c, rand.New(rand.NewPCG(seed, 1))), c.Close())
	}()
	return w, nil
}

// stop returns how many transactions were made.
func (w *writer) stop() (int, error) {
	w.cancel()
	<-w.done
	return w.count, w.err
}

func (w *writer) write(ctx context.Context, c *client.Conn, r *rand.Rand) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, sql := range transaction(r) {
			if _, err := c.Execute(sql); err != nil {
				return fmt.Errorf("writer: %w in %s", err, sql)
			}
		}
		w.count++
	}
}

// transaction draws what a shop does: mostly orders, some of everything else.
func transaction(r *rand.Rand) []string {
	customer, product, order := 1+r.IntN(30000), 1+r.IntN(8000), 1+r.IntN(60000)
	switch k := r.IntN(100); {
	case k < 40:
		return placed(r, customer)
	case k < 55:
		return []string{fmt.Sprintf("UPDATE orders SET status = 1 + status %% 4, notes = JSON_OBJECT('n', %d, 'text', '“ü” \\n') WHERE id = %d", r.IntN(1000), order)}
	case k < 70:
		return []string{fmt.Sprintf("UPDATE customers SET balance = balance + %d.%06d, note = IF(note IS NULL, '', NULL), flags = %d WHERE id = %d", r.IntN(100), r.IntN(1000000), r.IntN(8), customer)}
	case k < 80:
		return []string{fmt.Sprintf("DELETE FROM reviews WHERE product = %d", product),
			fmt.Sprintf("INSERT IGNORE INTO reviews VALUES (%d, 'author %d', %d, '茶, \"gut\"', 2024)", product, r.IntN(1e9), 1+r.IntN(5))}
	case k < 88:
		return []string{fmt.Sprintf("UPDATE IGNORE reviews SET product = %d WHERE product = %d LIMIT 1", 1+r.IntN(8000), product)}
	case k < 93:
		return []string{fmt.Sprintf("DELETE FROM payments WHERE order_id = %d", order)}
	case k < 97:
		return []string{"BEGIN", fmt.Sprintf("UPDATE products SET stock = -1, photo = NULL WHERE id = %d", product), "ROLLBACK"}
	default:
		return []string{fmt.Sprintf("UPDATE products SET price = price * 1.01, weight = weight / 3 WHERE category = %d", 1+r.IntN(60))}
	}
}

// placed is an order of one to four lines with its payment.
func placed(r *rand.Rand, customer int) []string {
	sql := []string{"BEGIN",
		fmt.Sprintf("INSERT INTO orders (customer, status, placed, total) VALUES (%d, 1, NOW(6), %d.%02d)", customer, r.IntN(1000), r.IntN(100)),
		"SET @o = LAST_INSERT_ID()"}
	for line := range 1 + r.IntN(4) {
		product := 1 + r.IntN(8000)
		sql = append(sql,
			fmt.Sprintf("INSERT INTO order_items SELECT @o, %d, id, %d, price FROM products WHERE id = %d", line+1, 1+r.IntN(5), product),
			fmt.Sprintf("UPDATE products SET stock = stock - 1 WHERE id = %d", product))
	}
	return append(sql, fmt.Sprintf("INSERT INTO payments VALUES (UNHEX(LPAD(HEX(@o), 16, 'A')), @o, %d.%010d, NOW(), %d)", r.IntN(1000), r.IntN(1e9), r.IntN(32)), "COMMIT")
}
