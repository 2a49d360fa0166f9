package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/option"
)

// statuses says with which HTTP status each code of fault.Catalogue is answered.
var statuses = map[fault.Code]int{
	fault.Internal:   http.StatusInternalServerError,
	fault.Usage:      http.StatusBadRequest,
	fault.BadRequest: http.StatusBadRequest,

	// Who asks, and how much.
	fault.TokenMissing: http.StatusUnauthorized,
	fault.TokenRefused: http.StatusUnauthorized, // a role that does not do: refusedRole
	fault.NotAllowed:   http.StatusForbidden,
	fault.TooMany:      http.StatusTooManyRequests,
	fault.ServerGone:   http.StatusServiceUnavailable,

	// What is asked of what lives here.
	fault.JobUnknown:     http.StatusNotFound,
	fault.VersionUnknown: http.StatusNotFound,
	fault.TableUnknown:   http.StatusNotFound,
	fault.TaskUnknown:    http.StatusNotFound,
	fault.AlarmUnknown:   http.StatusNotFound,
	fault.TokenUnknown:   http.StatusNotFound,
	fault.NoTemplate:     http.StatusNotFound,
	fault.NameTaken:      http.StatusConflict,
	fault.VersionChanged: http.StatusConflict,
	fault.NotNow:         http.StatusConflict,
	fault.JobEdit:        http.StatusConflict,
	fault.StateLocked:    http.StatusConflict,
	fault.ConfirmNeeded:  http.StatusBadRequest,

	// Job files.
	fault.JobSyntax:  http.StatusUnprocessableEntity,
	fault.JobField:   http.StatusUnprocessableEntity,
	fault.JobValue:   http.StatusUnprocessableEntity,
	fault.JobMissing: http.StatusUnprocessableEntity,
	fault.JobSecret:  http.StatusUnprocessableEntity,
	fault.JobParam:   http.StatusUnprocessableEntity,
	fault.JobVersion: http.StatusUnprocessableEntity,
	fault.NoTables:   http.StatusUnprocessableEntity,

	// What this machine cannot do.
	fault.StateBroken: http.StatusInternalServerError,
	fault.WorkerLost:  http.StatusServiceUnavailable,
	fault.FencedOff:   http.StatusConflict,

	// Systems that were asked on the way: they do not answer, or not in a way that helps.
	fault.SourceUnreachable: http.StatusBadGateway,
	fault.SourceMoved:       http.StatusBadGateway,
	fault.SourceTLS:         http.StatusBadGateway,
	fault.SourceBusy:        http.StatusBadGateway,
	fault.SourceQuery:       http.StatusBadGateway,
	fault.SourceProtocol:    http.StatusBadGateway,
	fault.TargetUnreachable: http.StatusBadGateway,
	fault.TargetFailed:      http.StatusBadGateway,
	fault.TargetBroken:      http.StatusBadGateway,
	fault.SinkSlow:          http.StatusBadGateway,
	fault.StoreUnreachable:  http.StatusBadGateway,
	fault.StoreBusy:         http.StatusBadGateway,
	fault.StoreFailed:       http.StatusBadGateway,
	fault.StoreProtocol:     http.StatusBadGateway,

	// They answer, and somebody must change something there or in the job file.
	fault.SourceAuth:        http.StatusUnprocessableEntity,
	fault.SourceGrants:      http.StatusUnprocessableEntity,
	fault.SourceSettings:    http.StatusUnprocessableEntity,
	fault.SourceType:        http.StatusUnprocessableEntity,
	fault.SourceXA:          http.StatusUnprocessableEntity,
	fault.SourceStatement:   http.StatusUnprocessableEntity,
	fault.SourceRefused:     http.StatusUnprocessableEntity,
	fault.ResyncNeeded:      http.StatusUnprocessableEntity,
	fault.TargetAuth:        http.StatusUnprocessableEntity,
	fault.TargetTLS:         http.StatusUnprocessableEntity,
	fault.RowRefused:        http.StatusUnprocessableEntity,
	fault.TargetNotOurs:     http.StatusUnprocessableEntity,
	fault.TargetRefused:     http.StatusUnprocessableEntity,
	fault.TargetFull:        http.StatusUnprocessableEntity,
	fault.TargetNoExclusive: http.StatusUnprocessableEntity,
	fault.FormatNewer:       http.StatusUnprocessableEntity,
	fault.CheckFailed:       http.StatusUnprocessableEntity,
	fault.StoreAuth:         http.StatusUnprocessableEntity,
	fault.StoreMissing:      http.StatusUnprocessableEntity,
	fault.StoreRefused:      http.StatusUnprocessableEntity,
	fault.NotAFile:          http.StatusUnprocessableEntity,
	fault.NameRefused:       http.StatusUnprocessableEntity,
	fault.NameClash:         http.StatusUnprocessableEntity,
	fault.TooManyDeletes:    http.StatusUnprocessableEntity,
	fault.ObjectsFailed:     http.StatusUnprocessableEntity,
	fault.DifferencesFound:  http.StatusUnprocessableEntity,
	fault.NotVerifiable:     http.StatusUnprocessableEntity,

	// What is there is another than what was asked for.
	fault.SourceShape:    http.StatusConflict,
	fault.SourceLost:     http.StatusConflict,
	fault.SourceDiverged: http.StatusConflict,
	fault.SourceChanged:  http.StatusConflict,
	fault.SourceGone:     http.StatusConflict,
	fault.TargetLost:     http.StatusConflict,
	fault.Corrupt:        http.StatusConflict,
}

// problem answers with err as RFC 9457 has it.
func problem(w http.ResponseWriter, r *http.Request, err error) {
	e := fault.Of(err)
	status, ok := statuses[e.Code]
	if !ok {
		status = http.StatusInternalServerError
	}
	problemWith(w, r, status, err)
}

// problemWith is problem with another status than the code's own.
func problemWith(w http.ResponseWriter, r *http.Request, status int, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		err = fault.New(fault.ServerGone, "the request was broken off") // by the client, or as the server stopped
		status = http.StatusServiceUnavailable
	}
	v := visitOf(r)
	v.failed = err
	body := problemOf(err)
	body.Status, body.Request = status, v.id
	text, failed := json.Marshal(body)
	if failed != nil {
		panic(failed) // texts and numbers only
	}
	h := w.Header()
	h.Del("Etag")
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		if h.Get("Retry-After") == "" {
			h.Set("Retry-After", "1")
		}
	}
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// problemOf shows an error with a code whole; of any other only that there was one,
// because nobody has looked at what its text gives away. The log has it.
func problemOf(err error) api.Problem {
	e := fault.Of(err)
	p := api.Problem{Type: "docs/errors.md#" + strings.ToLower(string(e.Code)), Title: e.What, Code: string(e.Code), Where: e.Where, Hint: e.Hint}
	if e.Cause != nil && e.Code != fault.Internal {
		p.Detail = e.Cause.Error()
	}
	var many interface{ Problems() option.Problems }
	if errors.As(err, &many) {
		for _, one := range many.Problems() {
			p.Problems = append(p.Problems, api.FileProblem{
				Code: string(one.Code), What: one.What, Line: one.Place.Line, Column: one.Place.Col, Field: one.Path, Hint: one.Advice(),
			})
		}
	}
	return p
}
