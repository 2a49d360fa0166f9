package cli

import (
	"context"
	"errors"
	"net/url"

	"godwit/internal/option"
	"godwit/internal/store"
)

// testStores are the stores of file jobs in tests; they are never opened.
var testStores = store.Registry{{
	Name: "local", Schemes: []string{"file"}, Help: "A folder.", Options: []option.Field{{Name: "path", Kind: option.Text, Required: true}},
	FromURL: func(u *url.URL) (option.Values, error) {
		return option.Of([]option.Field{{Name: "path", Kind: option.Text}}, map[string]any{"path": u.Path}), nil
	},
	Open: func(context.Context, option.Values, store.Env) (store.Store, error) {
		return nil, errors.New("not here")
	},
}, {
	Name: "s3", Schemes: []string{"s3"}, Options: []option.Field{
		{Name: "endpoint", Kind: option.Text}, {Name: "bucket", Kind: option.Text, Required: true}, {Name: "secret_key", Kind: option.Secret},
	},
}}

const fileExample = `name: media-move
kind: files
source: {s3: {endpoint: "http://127.0.0.1:9000", bucket: media, secret_key: "${env:SHOP_PASSWORD}"}}
sink: {url: "file:///archive/media"}
`
