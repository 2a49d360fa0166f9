package s3

import "testing"

func TestNests_when_services_and_prefixes_are_named_in_each_way(t *testing.T) {
	for _, c := range []struct {
		outer, inner place
		prefix       string
		in           bool
	}{
		{place{"http://a:9000", "b", ""}, place{"http://A:9000", "b", ""}, "", true},
		{place{"http://a:9000", "b", ""}, place{"http://a:9000", "b", "x/"}, "x/", true},
		{place{"http://a:9000", "b", "x"}, place{"http://a:9000", "b", "xy/z"}, "y/z", true},
		{place{"http://a", "b", "x/"}, place{"http://a:80", "b", "x/"}, "", true},
		{place{"http://localhost:9000", "b", "x/"}, place{"http://127.0.0.1:9000", "b", "x/y/"}, "y/", true},
		{place{"https://s3.amazonaws.com", "b", ""}, place{"https://s3.eu-central-1.amazonaws.com", "b", "y/"}, "y/", true},
		{place{"http://a:9000", "b", "x/"}, place{"http://a:9000", "b", ""}, "", false},
		{place{"http://a:9000", "b", "x/"}, place{"http://a:9000", "b", "y/"}, "", false},
		{place{"http://a:9000", "b", ""}, place{"http://a:9000", "c", ""}, "", false},
		{place{"http://a:9000", "b", ""}, place{"http://a:9001", "b", ""}, "", false},
	} {
		prefix, in, err := (&Store{at: c.outer}).Nests(&Store{at: c.inner})
		if prefix != c.prefix || in != c.in || err != nil {
			t.Errorf("%s in %s: %q, %v, %v", c.inner, c.outer, prefix, in, err)
		}
	}
}
