// Package web is the page of the server: an API client in a browser, as the command
// line is one in a terminal. What is here is what is served: plain modules, no build
// step and no code of others.
package web

import "embed"

// Files are the sources of the page, all in one folder, to be served from the root: a
// path with a dot is a file, any other that is not of the server itself is answered
// with index.html, which shows what the address says. Nothing in them needs an inline
// script or style, or another host. Anyone may have them: they hold no data.
//
//go:embed *.html *.css *.js *.svg
var Files embed.FS
