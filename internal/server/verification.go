package server

import (
	"net/http"

	"godwit/internal/api"
)

// ShowVerification tells of the verifications of a job.
func (c calls) ShowVerification(w http.ResponseWriter, r *http.Request, name api.Name) {
	if !named(w, r, name) {
		return
	}
	v, err := c.svc().Verifications(r.Context(), name)
	v.Earlier = items(v.Earlier)
	give(w, r, http.StatusOK, v, err)
}

// StartVerification begins one.
func (c calls) StartVerification(w http.ResponseWriter, r *http.Request, name api.Name, p api.StartVerificationParams) {
	if reasoned(w, r, name, p.Reason) {
		v, err := c.svc().StartVerification(r.Context(), who(r), name, p.Reason)
		give(w, r, http.StatusAccepted, v, err)
	}
}

// CancelVerification breaks it off.
func (c calls) CancelVerification(w http.ResponseWriter, r *http.Request, name api.Name, p api.CancelVerificationParams) {
	if reasoned(w, r, name, p.Reason) {
		done(w, r, c.svc().CancelVerification(r.Context(), who(r), name, p.Reason))
	}
}

// reasoned answers itself and returns false when the name in the path or the reason
// does not fit.
func reasoned(w http.ResponseWriter, r *http.Request, name, reason string) bool {
	var f flaws
	f.name("name", name)
	f.text("reason", reason, maxText)
	return !f.refused(w, r)
}

// verification sends what is known of a job's verifications.
func (s sample) verification(j api.Job) {
	v := j.Verification
	if v == nil {
		return
	}
	goes := 0.0
	if v.State == api.VerificationStateWaiting || v.State == api.VerificationStateRunning {
		goes = 1
	}
	s.put("godwit_job_verifying", goes, j.Name)
	if v.Verdict != "" {
		s.put("godwit_job_differences", float64(v.Differences), j.Name)
		s.when("godwit_job_verified_timestamp_seconds", v.VerdictAt, j.Name)
	}
}
