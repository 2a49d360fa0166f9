package postgres

import (
	"testing"

	"godwit/internal/connector/sinktest"
	"godwit/test/servers/postgres"
)

// The protocol on a real server, on which several processes race and whose
// connections are cut before and after every message.
func TestSink_when_connections_are_cut(t *testing.T) {
	sinktest.Run(t, kitHarness(t, postgres.Start(t)), 40)
}
