package hdfs

import (
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/colinmarc/hdfs/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// slot is where a writer of the library has what it writes the current block with, which
// it keeps to itself. It gives up a file whose block data nodes do not take.
type slot struct{ v reflect.Value }

// formOf reports whether a type of writer has its blocks where slot looks for them.
func formOf(writer reflect.Type) error {
	field, ok := writer.FieldByName("blockWriter")
	if !ok || field.Type.Kind() != reflect.Pointer || field.Type.Elem().Kind() != reflect.Struct {
		return errOtherForm
	}
	block, ok := field.Type.Elem().FieldByName("Block")
	if !ok || !block.Type.Implements(reflect.TypeFor[proto.Message]()) {
		return errOtherForm
	}
	if m, ok := reflect.Zero(block.Type).Interface().(proto.Message); !ok || m.ProtoReflect().Descriptor().FullName() != protocol+"LocatedBlockProto" {
		return errOtherForm
	}
	if stream, ok := field.Type.Elem().FieldByName("stream"); !ok || stream.Type.Kind() != reflect.Pointer {
		return errOtherForm
	}
	return nil
}

func slotOf(w *hdfs.FileWriter) slot {
	field := reflect.ValueOf(w).Elem().FieldByName("blockWriter")
	return slot{reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem()}
}

// block returns the block as the name node gave it; nil: there is none.
func (s slot) block() protoreflect.Message {
	if s.v.IsNil() {
		return nil
	}
	return s.v.Elem().FieldByName("Block").Interface().(proto.Message).ProtoReflect()
}

// unbegun returns the block if no data node has accepted to be written to; nil: there is
// none such.
func (s slot) unbegun() protoreflect.Message {
	if s.v.IsNil() || !s.v.Elem().FieldByName("stream").IsNil() {
		return nil
	}
	return s.block()
}

// become makes a block another one, in place: the library logs in to data nodes with the
// token that it found in the message, and looks for everything else when it connects.
func become(block, other protoreflect.Message) {
	field := block.Descriptor().Fields().ByName("blockToken")
	token, fresh := block.Get(field), other.Get(field).Message()
	proto.Reset(token.Message().Interface())
	proto.Merge(token.Message().Interface(), fresh.Interface())
	proto.Reset(block.Interface())
	proto.Merge(block.Interface(), other.Interface())
	block.Set(field, token)
}

// pour hands p to the library, which asks for a further block when the one it has is
// full. Of p nothing is written when the name node gives none yet.
func (f *file) pour(p []byte) error {
	f.client.forgetKey()
	slot := slotOf(f.w).v
	full := reflect.ValueOf(slot.Interface())
	if full.IsNil() {
		_, err := f.w.Write(p)
		return err
	}
	return f.await(func() error {
		slot.Set(full) // the library has dropped it, and with it what the next block comes after
		_, err := f.w.Write(p)
		return err
	})
}

// await does again what needs a further block. The name node gives none before data nodes
// have told it that they have the block before the last one, and none while no node is
// active.
func (f *file) await(do func() error) error {
	begin := time.Now()
	for wait := firstWait; ; wait = min(2*wait, mostWait) {
		err := do()
		class, _ := exception(err)
		early := class == "NotReplicatedYetException"
		waited := time.Since(begin)
		switch {
		case !early && !unanswered(err):
			return err
		case waited > f.s.patience || early && waited > replicationMost:
			return err
		case wait == firstWait:
			f.s.log.Warn("HDFS gives no further block yet; asking again", "file", f.path, "cause", err)
		}
		if err := pause(f.ctx, wait); err != nil {
			return err
		}
	}
}

// replace gives the writer another block in place of one that was not begun, on other data
// nodes than those that have failed. The one before it stays as it is.
func (f *file) replace(block protoreflect.Message, failed suspects) error {
	given := fieldOf(block, "b").Message()
	if _, err := f.s.call(f.ctx, "abandonBlock", args{"src": f.path, "holder": f.holder, "b": given}); err != nil {
		return err
	}
	other, err := f.addBlock(failed)
	if err != nil {
		return err
	}
	become(block, other)
	return nil
}

// addBlock asks for a block that comes after the last full one. Where there are too few
// data nodes without those that have failed, these are given another chance, no more of
// them than needed: a block on fewer nodes than wanted is copied by the name node. An
// answer that was lost is no second block: asked for what comes after the same block, the
// name node answers the same.
func (f *file) addBlock(failed suspects) (protoreflect.Message, error) {
	var answer protoreflect.Message
	err := error(nil)
	for spared := range len(failed) + 1 {
		request := args{"src": f.path, "clientName": f.holder, "excludeNodes": failed[spared:]}
		if f.full != nil {
			request["previous"] = f.full
		}
		err = f.await(func() (err error) {
			answer, err = f.s.call(f.ctx, "addBlock", request)
			return err
		})
		if !tooFew(err) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	block := fieldOf(answer, "block").Message()
	if fieldOf(block, "locs").List().Len() == 0 {
		return nil, errors.New("the name node gives a block without data nodes")
	}
	return block, nil
}

// tooFew reports whether the name node says that there are not enough data nodes for a
// block.
func tooFew(err error) bool {
	_, text := exception(err)
	return strings.Contains(text, "could only be written to") || strings.Contains(text, "could only be replicated to")
}

// suspects are data nodes of which at least one in each pipeline has failed; the ones last
// suspected come last.
type suspects []protoreflect.Message

// with adds the data nodes that a block was to be written to. It is the first one that is
// connected to: should that have failed it comes last.
func (s suspects) with(block protoreflect.Message, cause error) suspects {
	list := fieldOf(block, "locs").List()
	var nodes suspects
	for i := range list.Len() {
		nodes = append(nodes, list.Get(i).Message())
	}
	if data := (*dataError)(nil); errors.As(cause, &data) && len(nodes) > 0 {
		nodes = append(nodes[1:], nodes[0])
	}
	var out suspects
	for _, n := range s {
		if !nodes.has(n) {
			out = append(out, n)
		}
	}
	return append(out, nodes...)
}

func (s suspects) has(node protoreflect.Message) bool {
	for _, n := range s {
		if idOf(n) == idOf(node) {
			return true
		}
	}
	return false
}

// idOf returns what the name node knows a data node by.
func idOf(node protoreflect.Message) string {
	return fieldOf(fieldOf(node, "id").Message(), "datanodeUuid").String()
}
