//go:build unix && !linux

package local

import "errors"

func renameNew(int, string, int, string) error { return errors.ErrUnsupported }
