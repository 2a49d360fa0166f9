// Package secret keeps secrets out of everything that is printed. It imports
// only std.
package secret

import "log/slog"

// Text is a secret. However it is printed, logged or marshalled, only Hidden
// appears; Reveal is the one way to the value.
type Text struct{ value string }

// Hidden stands where a secret would be.
const Hidden = "******"

// New wraps a value.
func New(value string) Text { return Text{value} }

// Reveal returns the value, for the one call that needs it.
func (t Text) Reveal() string { return t.value }

// IsZero reports whether there is no secret.
func (t Text) IsZero() bool { return t.value == "" }

func (t Text) String() string               { return Hidden }
func (t Text) GoString() string             { return Hidden }
func (t Text) MarshalText() ([]byte, error) { return []byte(Hidden), nil }
func (t Text) LogValue() slog.Value         { return slog.StringValue(Hidden) }
