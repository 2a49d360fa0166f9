package sourcetest

import (
	"testing"

	"godwit/internal/connector"
)

func memHarness(wrap func(connector.Source) connector.Source) Harness {
	return Harness{
		Start:   func(testing.TB) Server { return newMemServer() },
		Open:    func(_ testing.TB, s Server, _ string) connector.Source { return wrap(&memSource{s: s.(*memServer)}) },
		Dialect: memDialect(),
	}
}

func TestRun_when_the_source_is_right(t *testing.T) {
	Run(t, memHarness(func(s connector.Source) connector.Source { return s }))
}
