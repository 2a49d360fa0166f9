package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"time"

	"github.com/colinmarc/hdfs/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// caller makes calls of the name node's ClientProtocol.
type caller interface {
	Execute(method string, request, response proto.Message) error
}

// callerOf returns the connection that a client has to the name node. The library
// keeps it to itself, and of the calls that it offers Rename replaces a file that is
// there, without a way to be refused; Chtimes drops parts of a second; and the text of
// a refusal is lost. A library that is built otherwise is noticed here.
func callerOf(c *hdfs.Client) (caller, error) {
	field := reflect.ValueOf(c).Elem().FieldByName("namenode")
	if field.IsValid() && field.Kind() == reflect.Pointer {
		if node, ok := reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem().Interface().(caller); ok {
			return node, nil
		}
	}
	return nil, errOtherForm
}

var errOtherForm = errors.New("the library for HDFS has another form than it had")

// args are the fields of a request, or of a message in it.
type args map[protoreflect.Name]any

const protocol = "hadoop.hdfs."

// message returns a message of the protocol.
func message(name string) (protoreflect.Message, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(protocol + name))
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", name, err)
	}
	return t.New(), nil
}

func fill(m protoreflect.Message, a args) {
	for name, v := range a {
		field := m.Descriptor().Fields().ByName(name)
		switch v := v.(type) {
		case args:
			fill(m.Mutable(field).Message(), v)
		case suspects:
			for _, node := range v {
				m.Mutable(field).List().Append(protoreflect.ValueOfMessage(node))
			}
		default:
			m.Set(field, protoreflect.ValueOf(v))
		}
	}
}

func fieldOf(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
	return m.Get(m.Descriptor().Fields().ByName(name))
}

func has(m protoreflect.Message, name protoreflect.Name) bool {
	return m.Has(m.Descriptor().Fields().ByName(name))
}

// call makes one call over l and returns the answer.
func (l *link) call(method string, a args) (protoreflect.Message, error) {
	name := strings.ToUpper(method[:1]) + method[1:]
	request, err := message(name + "RequestProto")
	if err != nil {
		return nil, err
	}
	response, err := message(name + "ResponseProto")
	if err != nil {
		return nil, err
	}
	fill(request, a)
	return response, l.node.Execute(method, request.Interface(), response.Interface())
}

// call makes a call, and makes it again for as long as a cluster that was there does
// not answer. So a call may have been carried out although its answer says otherwise:
// a rename then does not find its source.
func (s *Store) call(ctx context.Context, method string, a args) (m protoreflect.Message, err error) {
	err = s.persist(ctx, func(l *link) error {
		m, err = l.call(method, a)
		return err
	})
	return m, err
}

// persist does something over a connection, again and again while the cluster does
// not answer or no name node of it is active.
func (s *Store) persist(ctx context.Context, do func(*link) error) error {
	begin := time.Now()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		if s.request != nil {
			if err := s.request(ctx); err != nil {
				return err
			}
		}
		l, err := s.pool.link()
		if err == nil {
			err = do(l)
			if err != nil && unanswered(err) {
				s.pool.broke(l)
			}
		}
		if err == nil || !unanswered(err) || !s.pool.wasThere() || time.Since(begin) > s.patience {
			return err
		}
		s.log.Warn("HDFS does not answer; trying again", "store", s.Where(), "cause", err)
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// status returns what the name node knows of a path; fs.ErrNotExist.
func (s *Store) status(ctx context.Context, path string) (*hdfs.FileStatus, error) {
	m, err := s.call(ctx, "getFileInfo", args{"src": path})
	if err != nil {
		return nil, err
	}
	if !has(m, "fs") {
		return nil, fs.ErrNotExist
	}
	return fieldOf(m, "fs").Message().Interface().(*hdfs.FileStatus), nil
}

// rename gives a file another path; without replace only if nothing is there:
// fs.ErrExist. fs.ErrNotExist: the file, or the folder it is to be in, is not there.
func (s *Store) rename(ctx context.Context, from, to string, replace bool) error {
	_, err := s.call(ctx, "rename2", args{"src": from, "dst": to, "overwriteDest": replace})
	return plainly(err)
}

// mkdirs makes a folder and those above it.
func (s *Store) mkdirs(ctx context.Context, path string) error {
	_, err := s.call(ctx, "mkdirs", args{"src": path, "createParent": true, "masked": args{"perm": uint32(s.folder)}})
	return err
}

// remove removes a file, or a folder with nothing in it. A missing one is not an
// error.
func (s *Store) remove(ctx context.Context, path string) error {
	_, err := s.call(ctx, "delete", args{"src": path, "recursive": false})
	if err = plainly(err); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// setTime sets when a file was modified.
func (s *Store) setTime(ctx context.Context, path string, at time.Time) error {
	const untouched = ^uint64(0) // the name node may keep no times of access
	_, err := s.call(ctx, "setTimes", args{"src": path, "mtime": uint64(at.UnixMilli()), "atime": untouched})
	return err
}

// setReplication says how often the blocks of a file are to be kept.
func (s *Store) setReplication(ctx context.Context, path string, n int) error {
	_, err := s.call(ctx, "setReplication", args{"src": path, "replication": uint32(n)})
	return err
}

// readDir returns entries of a folder whose names come after after, in the name
// node's order, and whether there are more; fs.ErrNotExist.
func (s *Store) readDir(ctx context.Context, path, after string) ([]*hdfs.FileStatus, bool, error) {
	m, err := s.call(ctx, "getListing", args{"src": path, "startAfter": []byte(after), "needLocation": false})
	if err != nil {
		return nil, false, plainly(err)
	}
	if !has(m, "dirList") {
		return nil, false, fs.ErrNotExist
	}
	listing := fieldOf(m, "dirList").Message()
	list := fieldOf(listing, "partialListing").List()
	out := make([]*hdfs.FileStatus, list.Len())
	for i := range out {
		out[i] = list.Get(i).Message().Interface().(*hdfs.FileStatus)
	}
	return out, fieldOf(listing, "remainingEntries").Uint() > 0, nil
}
