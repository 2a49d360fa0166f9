package fault

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
)

func TestCatalogue(t *testing.T) {
	seen := map[Code]bool{}
	form := regexp.MustCompile(`^[A-Z]+(_[A-Z]+)*$`)
	for _, i := range Catalogue {
		if seen[i.Code] || !form.MatchString(string(i.Code)) {
			t.Errorf("%s: twice, or not of the form A_B", i.Code)
		}
		seen[i.Code] = true
		if i.Class == 0 || i.Exit == 0 || i.Short == "" || len(i.Long) < 40 {
			t.Errorf("%s: the entry is not whole", i.Code)
		}
	}
	if Code("NO_SUCH").Info().Code != Internal {
		t.Error("an unknown code must count as INTERNAL")
	}
}

func TestInSink(t *testing.T) {
	full := New(TargetFull, "no space")
	err := InSink("lake", fmt.Errorf("chunk 3: %w", full))
	if e := Of(err); e.Sink != "lake" || e.Code != TargetFull || Of(InSink("pg", err)).Sink != "lake" {
		t.Errorf("%+v", e)
	}
	cause := errors.New("x")
	if err := InSink("lake", cause); Of(err).Code != Internal || !errors.Is(err, cause) || Of(err).Sink != "lake" {
		t.Errorf("%+v", err)
	}
	if full.Sink != "" || InSink("lake", nil) != nil {
		t.Error("an error that others may hold was changed, or one was made of none")
	}
}

func TestError_when_wrapped(t *testing.T) {
	cause := errors.New("ERROR 1045")
	err := fmt.Errorf("opening: %w", New(SourceAuth, "user %q was refused", "u").At("h:1").By(cause).Try("check the password"))
	if !Has(err, SourceAuth) || Has(err, SourceGrants) || !errors.Is(err, cause) || ClassOf(err) != User {
		t.Fatalf("%v", err)
	}
	if want := `SOURCE_AUTH: user "u" was refused (h:1): ERROR 1045`; Of(err).Error() != want {
		t.Fatalf("got %s", Of(err).Error())
	}
	if Of(errors.New("x")).Code != Internal || ClassOf(errors.New("x")) != Fatal {
		t.Fatal("an error without a code is a defect")
	}
}
