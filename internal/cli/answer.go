package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/option"
)

// answered is what every answer has.
type answered interface {
	StatusCode() int
	GetBody() []byte
	GetApplicationProblemJSONDefault() *api.Problem
}

// answeredWith is an answer that has a T when it went well.
type answeredWith[T any] interface {
	answered
	GetJSON200() *T
}

// got returns what an answer brought, or its problem as an error.
func got[T any, R answeredWith[T]](r R, err error) (*T, error) {
	if err := settled(r, err); err != nil {
		return nil, err
	}
	if r.GetJSON200() == nil {
		return nil, noneOfOurs(r)
	}
	return r.GetJSON200(), nil
}

// settled returns the problem of an answer as an error, nil when it went well.
func settled(r answered, err error) error {
	var e *fault.Error
	switch {
	case errors.As(err, &e), errors.Is(err, context.Canceled):
		return err
	case err != nil:
		return fault.New(fault.ServerGone, "the server's answer cannot be read").By(err).Try("see whether --server names a godwit server of a fitting version")
	case r.StatusCode()/100 == 2:
		return nil
	}
	if p := r.GetApplicationProblemJSONDefault(); p != nil && p.Code != "" {
		return problemError(*p)
	}
	return noneOfOurs(r)
}

// problemError makes an error of a problem that the server told.
func problemError(p api.Problem) error {
	if len(p.Problems) > 0 {
		return problemsError{fileProblems(p.Problems)}
	}
	e := &fault.Error{Code: fault.Code(p.Code), What: p.Title, Where: p.Where, Hint: p.Hint}
	if p.Detail != "" {
		e.Cause = errors.New(p.Detail)
	}
	return e
}

// fileProblems are those of a job file as option tells them; the file is not named
// yet.
func fileProblems(ps []api.FileProblem) option.Problems {
	out := make(option.Problems, len(ps))
	for i, p := range ps {
		out[i] = option.Problem{
			Code: fault.Code(p.Code), Path: p.Field, What: p.What, Hint: p.Hint,
			Place: option.Place{Line: p.Line, Col: p.Column},
		}
	}
	return out
}

// inFile names the file whose text was sent in the problems of it.
func inFile(err error, path string) error {
	var problems problemsError
	if !errors.As(err, &problems) {
		return err
	}
	for i := range problems.Problems {
		problems.Problems[i].Place.File = path
	}
	return problems
}

// faultOf makes an error of one that is part of an answer.
func faultOf(f *api.Fault) *fault.Error {
	if f == nil {
		return nil
	}
	e := &fault.Error{Code: fault.Code(f.Code), What: f.What, Where: f.Where, Hint: f.Hint, Sink: f.Sink}
	if f.Cause != "" {
		e.Cause = errors.New(f.Cause)
	}
	return e
}

// noneOfOurs is the error of an answer that does not have the form of the API: a
// proxy's, or that of another program.
func noneOfOurs(r answered) error {
	code, hint := fault.ServerGone, "see whether --server names a godwit server, and what stands between"
	switch r.StatusCode() {
	case http.StatusUnauthorized:
		code, hint = fault.TokenMissing, "give a token with --token-file FILE or "+envToken
	case http.StatusForbidden:
		code = fault.TokenRefused
	case http.StatusTooManyRequests:
		code, hint = fault.TooMany, "wait a little"
	}
	status := r.StatusCode()
	e := fault.New(code, "the server answered %s, not as godwit does", strings.TrimSpace(fmt.Sprint(status, " ", http.StatusText(status)))).Try("%s", hint)
	if text := strings.TrimSpace(string(r.GetBody())); text != "" {
		e.By(errors.New(cut(clean(text), 200)))
	}
	return e
}
