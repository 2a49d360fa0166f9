package hdfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/colinmarc/hdfs/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"godwit/internal/fault"
	"godwit/internal/store"
	servers "godwit/test/servers/hdfs"
)

// unmissed are settings with which the name node names dead data nodes for ten minutes, as
// it does where nobody has set anything.
func unmissed() map[string]string {
	return map[string]string{"dfs.namenode.heartbeat.recheck-interval": "300000"}
}

// varied are n bytes of which no two blocks are the same.
func varied(n int) []byte {
	out := make([]byte, 0, n+16)
	for i := 0; len(out) < n; i++ {
		out = fmt.Appendf(out, "%d,", i)
	}
	return out[:n]
}

func TestStore_when_blocks_are_to_be_on_dead_data_nodes(t *testing.T) {
	server := servers.Start(t, servers.Options{DataNodes: 3, Conf: unmissed()})
	folder := server.Folder(t, lark)
	for _, name := range []string{"one of three", "two of three"} {
		server.Do(t, "stop-datanode", "0")
		t.Run(name, func(t *testing.T) { severalBlocks(t, server, folder) })
	}
	t.Run("and one more in the middle of a block", func(t *testing.T) { middleOfBlock(t, server, folder) })
	t.Run("all, until the context ends", func(t *testing.T) { contextEnds(t, blocks(t, server, folder)) })
	t.Run("all", func(t *testing.T) {
		err := put(blocks(t, server, folder), "none", varied(1000))
		if f := fault.Of(err); f.Code != fault.StoreUnreachable || f.Class() != fault.Retry || !strings.Contains(f.Error(), "data node 127.0.0.1:") {
			t.Error(err)
		}
	})
	for _, f := range server.Files(t, folder) {
		if strings.Contains(f.Path, "/"+tmpMark) {
			t.Errorf("left: %+v", f)
		}
	}
}

const testBlock = 1 << 20

// blocks opens a store with small blocks, each of which is to be on all data nodes.
func blocks(t *testing.T, server *servers.Server, folder string) *Store {
	return at(t, server, folder, map[string]any{"block_size": int64(testBlock), "replication": int64(3)})
}

// severalBlocks: each block is to be on a dead node, and answers that others are given for
// it are lost.
func severalBlocks(t *testing.T, server *servers.Server, folder string) {
	s := blocks(t, server, folder)
	var said bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&said, nil))
	asked := &losing{left: map[string]int{"addBlock": 2, "abandonBlock": 1}}
	asked.between(s)
	data := varied(4*testBlock + 300_000)
	g, err := s.Stage(t.Context(), "long", store.PutOptions{})
	must(t, err)
	for p := data; len(p) > 0; p = p[min(len(p), 300_000):] { // blocks end within a write
		_, err := g.Write(p[:min(len(p), 300_000)])
		must(t, err)
	}
	r, err := g.Close()
	must(t, err)
	o, err := s.Publish(t.Context(), r)
	if o != store.Published || err != nil {
		t.Fatalf("published %d, %v", o, err)
	}
	holds(t, s, "long", data)
	if got, want := server.Do(t, "sum", folder+"/long")[0], fmt.Sprintf("%d\t%x", len(data), sha256.Sum256(data)); got != want {
		t.Errorf("Hadoop reads %s, want %s", got, want)
	}
	if n := strings.Count(said.String(), "data nodes do not take a block"); n < 5 {
		t.Errorf("blocks failed %d times: nothing is tried here", n)
	}
	asked.comeAfter(t, testBlock)
	must(t, put(s, "with one copy at first", data))
	holds(t, s, "with one copy at first", data)
	for _, f := range server.Files(t, folder) {
		if !f.Folder && f.Replication != 3 {
			t.Errorf("%+v", f)
		}
	}
	must(t, errors.Join(s.Delete(t.Context(), "long"), s.Delete(t.Context(), "with one copy at first")))
}

// middleOfBlock: bytes were handed over, and nobody else has them.
func middleOfBlock(t *testing.T, server *servers.Server, folder string) {
	s := blocks(t, server, folder)
	g, err := s.Stage(t.Context(), "cut", store.PutOptions{})
	must(t, err)
	_, err = g.Write(varied(testBlock + testBlock/2))
	must(t, err)
	server.Do(t, "stop-datanode", "0")
	asked := &losing{}
	asked.between(s)
	_, err = g.Write(varied(testBlock)) // to the end of the block, and into the next one
	if fault.ClassOf(err) != fault.Retry || len(asked.calls) > 0 {
		t.Errorf("a block whose data nodes are gone: %v, replaced by %d", err, len(asked.calls))
	}
	g.Abort()
}

// contextEnds: other data nodes are not asked for any more.
func contextEnds(t *testing.T, s *Store) {
	ctx, cancel := context.WithCancel(t.Context())
	said := 0
	s.log = slog.New(slog.NewTextHandler(writer(func() { said++; cancel() }), nil))
	_, err := s.Put(ctx, "k", store.Body{Size: 1, Open: func(int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("x")), nil
	}}, store.PutOptions{})
	if err == nil || said != 1 {
		t.Errorf("%v after %d tries", err, said)
	}
}

// writer calls itself whenever something is written.
type writer func()

func (w writer) Write(p []byte) (int, error) { w(); return len(p), nil }

// losing is what goes to a name node whose first answers to some calls are lost.
type losing struct {
	mu    sync.Mutex
	left  map[string]int         // answers still to be lost
	lost  func()                 // called when one is; may be nil
	calls []protoreflect.Message // that asked for blocks
}

type losingLink struct {
	caller
	*losing
}

func (c losingLink) Execute(method string, request, response proto.Message) error {
	err := c.caller.Execute(method, request, response)
	c.mu.Lock()
	defer c.mu.Unlock()
	if method == "addBlock" {
		c.calls = append(c.calls, request.ProtoReflect())
	}
	if err == nil && c.left[method] > 0 {
		c.left[method]--
		if c.lost != nil {
			c.lost()
		}
		return io.ErrUnexpectedEOF
	}
	return err
}

// between puts c between a store and all its connections, those too that are made later.
func (c *losing) between(s *Store) {
	s.request = func(context.Context) error {
		for range links {
			l, err := s.pool.link()
			if err != nil {
				return err
			}
			if _, is := l.node.(losingLink); !is {
				l.node = losingLink{l.node, c}
			}
		}
		return nil
	}
}

// comeAfter: blocks were asked for that come after whole ones, of a size, and not on nodes
// that failed.
func (c *losing) comeAfter(t *testing.T, size uint64) {
	t.Helper()
	previous := map[uint64]bool{}
	for _, m := range c.calls {
		if m.Has(m.Descriptor().Fields().ByName("previous")) {
			p := fieldOf(m, "previous").Message()
			previous[fieldOf(p, "blockId").Uint()] = true
			if n := fieldOf(p, "numBytes").Uint(); n != size {
				t.Errorf("a block is to come after one of %d bytes", n)
			}
		}
	}
	if len(previous) == 0 || c.left["addBlock"]+c.left["abandonBlock"] > 0 {
		t.Errorf("blocks were asked for after %d others, %v answers were not lost", len(previous), c.left)
	}
	if fieldOf(c.calls[0], "excludeNodes").List().Len() != 3 {
		t.Error("nodes that failed may be chosen again")
	}
}

func TestSuspects_are_spared_those_first_that_failed_longest_ago(t *testing.T) {
	block := func(ids ...string) protoreflect.Message {
		m, err := message("LocatedBlockProto")
		must(t, err)
		for _, id := range ids {
			node, err := message("DatanodeInfoProto")
			must(t, err)
			fill(node, args{"id": args{"datanodeUuid": id}})
			m.Mutable(m.Descriptor().Fields().ByName("locs")).List().Append(protoreflect.ValueOfMessage(node))
		}
		return m
	}
	var s suspects
	for _, c := range []struct {
		nodes []string
		cause error
		want  string
	}{
		{[]string{"a", "b", "c"}, errors.New("write failed: ERROR"), "a b c"},
		{[]string{"a"}, &dataError{node: "a"}, "b c a"},
		{[]string{"b", "d"}, &dataError{node: "b"}, "c a d b"},
		{nil, nil, "c a d b"},
	} {
		s = s.with(block(c.nodes...), c.cause)
		var got []string
		for _, n := range s {
			got = append(got, idOf(n))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("after %q: %q, want %q", c.nodes, got, c.want)
		}
	}
}

func TestFormOf_refuses_a_library_of_another_form(t *testing.T) {
	field, _ := reflect.TypeFor[hdfs.FileWriter]().FieldByName("blockWriter")
	block, _ := field.Type.Elem().FieldByName("Block")
	noStream := reflect.StructOf([]reflect.StructField{block})
	field.Type = reflect.PointerTo(noStream)
	for _, writer := range []any{
		reflect.Zero(reflect.StructOf([]reflect.StructField{field})).Interface(),
		struct{}{},
		struct{ blockWriter int }{},
		struct{ blockWriter *int }{},
		struct{ blockWriter *struct{} }{},
		struct{ blockWriter *struct{ Block *int } }{},
		struct{ blockWriter *struct{ Block *protoBlock } }{},
	} {
		if err := formOf(reflect.TypeOf(writer)); !errors.Is(err, errOtherForm) {
			t.Errorf("%T: %v", writer, err)
		}
	}
}

// protoBlock is a message, and no block.
type protoBlock struct{ proto.Message }

func (*protoBlock) ProtoReflect() protoreflect.Message {
	m, _ := message("DatanodeIDProto")
	return m
}
