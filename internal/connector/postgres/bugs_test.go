package postgres

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"godwit/internal/connector/sinktest"
	"godwit/test/servers/postgres"
)

// planted is a defect of the protocol, made on the way to the server.
type planted struct {
	// before is SQL that a process sends by itself before a message.
	before func(message []byte) string
	// old becomes fresh in messages with a statement that begins with verb.
	verb, old, fresh string
	// seed is that of the first history to be played: one soon after it finds the defect.
	seed uint64
}

// send has the message that goes to the server, and what goes before it.
func (b *planted) send(message []byte) (first string, instead []byte) {
	if b.before != nil {
		first = b.before(message)
	}
	if b.old == "" || !bytes.Contains(message, []byte(b.verb)) {
		return first, message
	}
	// The length stays: the protocol counts it.
	fresh := b.fresh + strings.Repeat(" ", len(b.old)-len(b.fresh))
	return first, bytes.ReplaceAll(message, []byte(b.old), []byte(fresh))
}

// endedBefore ends the transaction before a message.
func endedBefore(kind byte, begins string) func([]byte) string {
	return func(m []byte) string {
		if m[0] == kind && bytes.HasPrefix(bytes.TrimLeft(m[5:], "\x00"), []byte(begins)) {
			return "COMMIT"
		}
		return ""
	}
}

// simple is the message of one statement by the simple protocol.
func simple(sql string) []byte {
	m := binary.BigEndian.AppendUint32([]byte{'Q'}, uint32(len(sql)+5))
	return append(append(m, sql...), 0)
}

// bugs are the planted defects.
var bugs = map[string]*planted{
	"commit without a look at the epoch":       {verb: "godwit_position", old: "epoch = $4", fresh: "$4::int8>0", seed: 271},
	"the epoch is not raised":                  {verb: "INSERT INTO", old: "epoch = p.epoch + 1", fresh: "epoch = p.epoch", seed: 271},
	"claims ignored":                           {verb: "INSERT INTO", old: "(p.run, p.attempt) <= (excluded.run, excluded.attempt)", fresh: "true", seed: 81},
	"the place is forgotten by the next owner": {verb: "INSERT INTO", old: "encode(positions, 'hex')", fresh: "''"},
	"the place in a transaction of its own":    {before: endedBefore('P', "UPDATE \"g"), seed: 21},
	"COPY outside of the transaction":          {before: endedBefore('Q', "COPY"), seed: 198},
	"rows of the stream in one of their own":   {before: endedBefore('P', "INSERT INTO \"w")},
}

// found counts what finds a bug, first histories, then crashes; it stops at the first.
func found(h sinktest.Harness, from uint64) (what string, err error) {
	for first := from; first < from+200; first += 10 {
		if _, failures := sinktest.Play(h, first, 10); len(failures) > 0 {
			return "histories", failures[0]
		}
	}
	s, err := sinktest.Crashes(h)
	if err == nil && len(s.Caught) > 0 {
		err = s.Caught[0]
	}
	return "crashes", err
}

// A kit that lets a defect pass proves nothing: each planted one must be found.
func TestKit_when_a_bug_is_planted(t *testing.T) {
	s := postgres.Start(t)
	for name, bug := range bugs {
		t.Run(name, func(t *testing.T) {
			h := kitHarness(t, s)
			fresh := h.New
			h.New = func() sinktest.World {
				w := fresh().(*kitWorld)
				w.plant = bug
				return w
			}
			how, err := found(h, bug.seed)
			if err == nil {
				t.Fatal("not found")
			}
			first, _, _ := strings.Cut(err.Error(), "\nlast steps")
			t.Logf("found by %s: %s", how, first)
		})
	}
}
