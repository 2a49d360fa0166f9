package page

import (
	"strings"
	"testing"

	"godwit/test/web/fake"
)

func TestLetters_when_rows_were_put_aside(t *testing.T) {
	h := serve(t, 30, 50)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.visit("/jobs/shop-to-lake")
	p.says(".sinks", "130 dead letters")
	p.click(".tabs a", "Dead letters")
	p.says(".chips", "lake: shop.orders_00000 65")
	for _, what := range []string{"ROW_REFUSED", "0000-00-00 is no date", "id = 1000", "too large to be shown", "_godwit/dead/"} {
		p.says(".letters td", what)
	}
	p.until("a page of them", "document.querySelectorAll('.letters tbody tr').length === 100")
	p.shot("letters")
	p.click("button", "More")
	p.until("all of them", "document.querySelectorAll('.letters tbody tr').length === 130")
	p.click(".letters summary", "id = 1000")
	p.says(".letters li", "comment = null")
	p.click(".chips button", "shop.orders_00001")
	p.until("those of one table", "document.querySelectorAll('.letters tbody tr').length === 65 && location.search.includes('table=shop.orders_00001')")
	p.visit("/jobs/shop-to-lake/letters?sink=lake&table=shop.orders_00001")
	p.until("the address has the choice", "document.querySelectorAll('.letters tbody tr').length === 65")
	p.click("summary", "How do these rows")
	p.says("code", "godwit job resync shop-to-lake TABLE")
	p.visit("/jobs/shop-010/letters")
	p.says(".empty", "No row was put aside")
	p.quiet()
}

func TestLetters_when_they_cannot_be_read(t *testing.T) {
	h := serve(t, 30, 50)
	p := open(t, h.url())
	p.login(fake.Operator)
	h.fake.Break("/api/v1/jobs/shop-to-lake/dead-letters", 502)
	p.visit("/jobs/shop-to-lake/letters")
	p.says(".problem", "it was broken on purpose")
	h.fake.Break("/api/v1/jobs/shop-to-lake/dead-letters", 0)
	p.click(".problem button", "")
	p.says(".letters td", "ROW_REFUSED")
	p.quiet("502")
}

func TestVerification_when_it_is_started_and_ends(t *testing.T) {
	h := serve(t, 30, 50)
	p := open(t, h.url())
	p.login(fake.Operator)
	p.visit("/jobs/shop-to-lake/verify")
	for _, what := range []string{"2 missing, 1 different, 1 not compared; equal: 70,012 rows", "The first 2 of 4 differences", "with a loss: at datetime(6) as timestamp(3)", "the sink does not have it yet", "broken off"} {
		p.says(".stage", what)
	}
	if text := eval[string](p, "document.querySelector('.stage').innerText"); !strings.Contains(text, "<b>new</b>") {
		t.Errorf("a value is not shown as it is: %s", text)
	}
	p.shot("verification")
	p.click(".stage button", "Verify…")
	p.says("dialog", "")
	p.keys("\r")
	p.says("#s-going", "It is being compared")
	p.says(".numbers", "35,000 rows")
	p.shot("verifying")
	h.fake.Prove("shop-to-lake")
	p.says(".good-line", "equal: 70,015 rows")
	p.click(".stage button", "Verify…")
	p.says("dialog", "")
	p.keys("\r")
	p.says("#s-going", "It is being compared")
	p.click(".stage button", "Break off")
	p.says(".care-line", "cancelled")
	p.visit("/jobs/media-004/verify")
	p.says(".good-line", "equal: 12,000 objects (1 GiB)")
	p.says(".numbers", "md5 (12,000)")
	p.quiet()
}
