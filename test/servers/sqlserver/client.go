package sqlserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Client makes a call of one of the server's client programs that connects to
// s. The password is in a file, not in the arguments.
func (s *Server) Client(name string, args ...string) (*exec.Cmd, error) {
	return s.make.Command(name, append([]string{"--defaults-file=" + s.clientFile()}, args...)...)
}

// Run sends SQL, one or more statements, through the server's own client.
func (s *Server) Run(sql string) error {
	return s.client(context.Background(), sql, io.Discard)
}

// client runs the server's own client with XML output, the one form of it that
// tells NULL from 'NULL' and escapes without loss.
func (s *Server) client(ctx context.Context, sql string, out io.Writer, args ...string) error {
	base, err := s.Client(s.make.Client, append(args, "--batch", "--xml", "--binary-mode", "--init-command=SET SESSION wait_timeout=86400")...)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, base.Path, base.Args[1:]...)
	cmd.Env = base.Env
	cmd.Stdin = strings.NewReader(sql)
	cmd.Stdout = out
	var problems strings.Builder
	cmd.Stderr = &problems
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s\nin: %.300s", s.make.Client, err, strings.TrimSpace(problems.String()), sql)
	}
	return nil
}

// Null is what Query gives for SQL NULL; no text of a server contains it.
const Null = "\x00NULL\x00"

// Rows sends SQL through the server's own client and returns the rows of all
// its results.
func (s *Server) Rows(sql string) ([][]string, error) {
	var rows [][]string
	err := s.Each(sql, func(row []string) error {
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// Each is Rows for results that need not be held in memory: it gives f row
// after row, each f's to keep. An error of f ends the client.
func (s *Server) Each(sql string, f func(row []string) error) error {
	read, write := io.Pipe()
	ended := make(chan struct{})
	go func() {
		// The reader gets the client's error, or the end.
		write.CloseWithError(s.client(context.Background(), sql, write))
		close(ended)
	}()
	err := parseXML(bufio.NewReaderSize(read, 1<<16), f)
	read.Close() // lets the client end, if it has not
	<-ended
	return err
}

// parseXML reads what the client prints. It is not encoding/xml, which refuses
// the control characters that text columns may hold and the client prints as
// they are; markup characters are always escaped.
func parseXML(in *bufio.Reader, f func(row []string) error) error {
	var row []string
	for {
		if _, err := in.ReadSlice('<'); errors.Is(err, bufio.ErrBufferFull) {
			continue
		} else if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		tag, err := in.ReadBytes('>')
		if err != nil {
			return fmt.Errorf("output of the client ends inside <%.80s: %w", tag, err)
		}
		switch {
		case bytes.Equal(tag, []byte("row>")):
			row = nil
		case bytes.Equal(tag, []byte("/row>")):
			if err := f(row); err != nil {
				return err
			}
		case bytes.HasPrefix(tag, []byte("field ")):
			value, err := field(in, tag)
			if err != nil {
				return err
			}
			row = append(row, value)
		}
	}
}

func field(in *bufio.Reader, tag []byte) (string, error) {
	if bytes.HasSuffix(tag, []byte(` xsi:nil="true" />`)) {
		return Null, nil
	}
	text, err := in.ReadString('<')
	if err != nil {
		return "", fmt.Errorf("output of the client ends inside a field: %w", err)
	}
	if err := in.UnreadByte(); err != nil {
		return "", err
	}
	return entities.Replace(strings.TrimSuffix(text, "<")), nil
}

var entities = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&amp;", "&")
