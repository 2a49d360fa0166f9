package hdfs

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"godwit/internal/store"
	"godwit/internal/store/storetest"
	servers "godwit/test/servers/hdfs"
)

// tampered is a connection to a name node on which calls are other than the store
// meant them.
type tampered struct {
	caller
	ask    func(method string, request protoreflect.Message) bool // false: the call is not made
	answer func(method string, response protoreflect.Message)
}

func (c tampered) Execute(method string, request, response proto.Message) error {
	if c.ask != nil && !c.ask(method, request.ProtoReflect()) {
		return nil
	}
	err := c.caller.Execute(method, request, response)
	if c.answer != nil {
		c.answer(method, response.ProtoReflect())
	}
	return err
}

func set(m protoreflect.Message, name protoreflect.Name, v any) {
	m.Set(m.Descriptor().Fields().ByName(name), protoreflect.ValueOf(v))
}

// with puts c between a store and all its connections.
func (c tampered) with(t *testing.T, s *Store) {
	t.Helper()
	for range links {
		l, err := s.pool.link()
		must(t, err)
		c.caller = l.node
		l.node = c
	}
}

// Bugs that a store of HDFS may have: the kit must catch each on a real cluster.
func TestKit_when_bugs_are_planted(t *testing.T) {
	server := servers.Shared(t)
	for _, b := range []struct {
		name string
		by   string // the check that must catch it
		with tampered
	}{
		{name: "no bug"},
		{"a rename always replaces", "Create", tampered{ask: func(method string, m protoreflect.Message) bool {
			if method == "rename2" {
				set(m, "overwriteDest", true)
			}
			return true
		}}},
		{"a rename is not carried out", "StagePublish", tampered{ask: func(method string, _ protoreflect.Message) bool { return method != "rename2" }}},
		{"all files have one id", "PublishOverOther", tampered{answer: func(method string, m protoreflect.Message) {
			if method == "getFileInfo" && has(m, "fs") {
				set(m.Mutable(m.Descriptor().Fields().ByName("fs")).Message(), "fileId", uint64(7))
			}
		}}},
		{"times are not set", "Attributes", tampered{ask: func(method string, _ protoreflect.Message) bool { return method != "setTimes" }}},
		{"a listing ends after one answer", "ListOrder", tampered{answer: func(method string, m protoreflect.Message) {
			if method == "getListing" && has(m, "dirList") {
				listing := m.Mutable(m.Descriptor().Fields().ByName("dirList")).Message()
				list := listing.Mutable(listing.Descriptor().Fields().ByName("partialListing")).List()
				list.Truncate(min(list.Len(), 3))
				set(listing, "remainingEntries", uint32(0))
			}
		}}},
	} {
		t.Run(b.name, func(t *testing.T) {
			caught := storetest.Caught(t, func(t *testing.T) store.Store {
				s := at(t, server, server.Folder(t, lark), nil)
				b.with.with(t, s)
				return s
			}, storetest.Options{Keeps: keeps, ListObjects: 30, Rounds: 2, Holds: noColon}, "Create", "StagePublish", "PublishOverOther", "Attributes", "ListOrder")
			if b.by == "" && len(caught) > 0 || b.by != "" && !slices.Contains(caught, b.by) {
				t.Errorf("caught by %q, not by %q", caught, b.by)
			}
		})
	}
}

// lookFirst creates as a store would that cannot refuse to replace.
type lookFirst struct{ *Store }

func (s lookFirst) Create(ctx context.Context, key string, value []byte) error {
	if _, err := s.status(ctx, s.path(key)); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, store.ErrExists)
	}
	return put(s, key, value)
}

func TestKit_when_a_store_looks_before_it_creates(t *testing.T) {
	server := servers.Shared(t)
	caught := storetest.Caught(t, func(t *testing.T) store.Store {
		return lookFirst{at(t, server, server.Folder(t, lark), nil)}
	}, storetest.Options{Keeps: keeps}, "CreateRace")
	if len(caught) == 0 {
		t.Error("not caught")
	}
}
