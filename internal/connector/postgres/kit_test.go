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

// Histories on other versions: of these the oldest and the newest; in a soak everything
// on all.
func TestSink_when_the_server_is_of_another_version(t *testing.T) {
	for _, major := range versions() {
		t.Run(major, func(t *testing.T) {
			h := kitHarness(t, postgres.StartVersion(t, major))
			if sinktest.Soak() {
				sinktest.Run(t, h, 40)
				return
			}
			if _, failures := sinktest.Play(h, 1, 12); len(failures) > 0 {
				t.Error(failures[0])
			}
		})
	}
}

// versions are those to be tested besides the one that all other tests have.
func versions() []string {
	all := postgres.Versions()
	if sinktest.Soak() {
		return all
	}
	return []string{all[0], all[len(all)-1]}
}
