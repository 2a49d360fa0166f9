// Package api is the contract of a running server: openapi.yaml, and the types, the
// client and the interface of a server that are made from it. Whoever changes the
// document makes the rest anew with go generate ./internal/api.
package api

//go:generate go tool -modfile=../../test/generate/go.mod oapi-codegen -config generate.yaml openapi.yaml
