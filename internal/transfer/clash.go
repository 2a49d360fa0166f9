package transfer

import (
	"errors"
	"path/filepath"

	"godwit/internal/fault"
	"godwit/internal/transfer/name"
	"godwit/internal/transfer/page"
)

// nameAll makes the set of names that the round has given so far, where two keys may
// get one name. The pages say which: of an earlier set nothing is trusted, as a power
// cut may leave it behind them. A name of an object whose page was lost is given anew.
func (t *Transfer) nameAll(ranges int) (err error) {
	if t.distinct || t.names != nil {
		return nil
	}
	if t.names, err = name.New(filepath.Join(t.Dir, "names.db")); err != nil {
		return err
	}
	defer func() {
		if err != nil { // a set that lacks names would give them twice
			err = errors.Join(err, t.names.Close())
			t.names = nil
		}
	}()
	for rg := range ranges {
		if err := t.nameRange(rg); err != nil {
			return err
		}
	}
	return nil
}

// nameRange drops pages that are not whole: their keys are listed again, and perhaps
// get no name then.
func (t *Transfer) nameRange(rg int) error {
	headers, err := t.folder.Pages(rg)
	if err != nil {
		return err
	}
	for _, h := range headers {
		_, entries, err := t.folder.Load(rg, h.Seq)
		if errors.Is(err, page.ErrTorn) {
			return t.folder.Drop(rg, h.Seq)
		}
		if err != nil {
			return err
		}
		if _, _, err := t.claim(entries); err != nil {
			return err
		}
	}
	return nil
}

// claim claims their names for entries. It returns the places of those that have one
// in the target, and the keys that have these names.
func (t *Transfer) claim(entries []page.Entry) (places []int, holders []string, err error) {
	var claims []name.Claim
	for i, e := range entries {
		if e.Action != page.Refuse && e.Action != page.Delete {
			places = append(places, i)
			claims = append(claims, name.Claim{Name: e.Target(), Key: e.Key})
		}
	}
	holders, err = t.names.Give(claims)
	return places, holders, err
}

// give gives entries their names, before they are written down. An entry whose name
// another key has is refused.
func (t *Transfer) give(entries []page.Entry) error {
	if t.names == nil {
		return nil
	}
	places, holders, err := t.claim(entries)
	if err != nil {
		return err
	}
	for i, place := range places {
		e := &entries[place]
		if holders[i] == e.Key {
			continue
		}
		*e = *t.refuse(e.Item, fault.New(fault.NameClash, "rename gives %q the name that %q has already", e.Key, holders[i]).At("%s", e.Target()).
			Try("mend the rules of rename, or leave one of them out"))
		e.Reason = "rename gives another key the same name"
	}
	return nil
}

// mayBeAnothers reports whether what the target has under an object's name may be all
// that is left of another object: one that had the name first, in an earlier round or
// before its page was lost, and was deleted in the source after that.
func (t *Transfer) mayBeAnothers() bool {
	return t.Erase && t.Overwrite != Always && !t.distinct
}
