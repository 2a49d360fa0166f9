package local

import (
	"context"
	"errors"
	"net/url"
	"path"

	"godwit/internal/option"
	"godwit/internal/store"
)

// Driver returns the driver of folders of this machine.
func Driver() store.Driver {
	return store.Driver{
		Name: "local", Schemes: []string{"file"},
		Help:    "A folder of this machine, or one that is mounted.",
		Options: fields(), FromURL: fromURL,
		Open: func(_ context.Context, v option.Values, env store.Env) (store.Store, error) {
			links := map[string]Links{"skip": LinksSkip, "follow": LinksFollow, "follow_outside": LinksOutside}
			return New(OS{}, v.Text("path"), Options{Staging: env.Staging, Links: links[v.Text("links")]})
		},
	}
}

func fields() []option.Field {
	return []option.Field{
		{Name: "path", Kind: option.Text, Required: true, Machine: option.DataPath, Example: "/archive/media", Help: "The folder, absolute.",
			Check: func(v any) error {
				if p := v.(string); !path.IsAbs(p) || badPath(p) {
					return errors.New("an absolute path is expected, without a zero byte or a part . or ..")
				}
				return nil
			}},
		{Name: "links", Kind: option.Enum, Values: []string{"skip", "follow", "follow_outside"}, Default: "skip",
			Machine: option.Anywhere, Takes: func(o option.Values) bool { return o.Text("links") == "follow_outside" },
			Help: "What a symbolic link to a file is: `skip` records it as not copied (NOT_A_FILE), `follow` takes the file it leads to when that lies in the folder, `follow_outside` wherever it lies. Links to folders are never followed."},
	}
}

// fromURL returns the options of file:///path. Its errors do not repeat the URL,
// which may hold a password.
func fromURL(u *url.URL) (option.Values, error) {
	var none option.Values
	switch {
	case u.RawQuery != "" || u.Fragment != "":
		return none, errors.New("it has a ? or #; write %3F or %23 when the name of a folder has one")
	case u.User != nil || u.Host != "" && u.Host != "localhost":
		return none, errors.New("it names a host; file:// goes on with a third /: file:///path")
	case path.Clean("/"+u.Path) == "/":
		return none, errors.New("the path must be absolute and name a folder: file:///path")
	}
	p, err := ParseURL(u.String())
	if err != nil {
		return none, errors.New("the path holds a zero byte or a part . or ..")
	}
	return option.Of(fields(), map[string]any{"path": p}), nil
}
