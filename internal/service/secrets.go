package service

import (
	"crypto/sha256"
	"time"

	"godwit/internal/api"
	"godwit/internal/job"
	"godwit/internal/option"
)

// A job file refers to its secrets, and what it refers to may change: passwords are
// renewed. A life keeps those that it began with, so it ends and another one begins
// where others are there now: when the file is edited, when somebody has it retried,
// and by itself when it fails.

// secretsEvery is how often the secrets of a job that does not get on are looked at.
const secretsEvery = 10 * time.Second

// secretSum tells whether two job files have the same secrets; it is in memory alone.
func secretSum(spec *job.Spec) [sha256.Size]byte { return option.SecretSum(spec.Values()) }

// renewed reports whether the secrets of the file that lives are other ones by now than
// those that a life began with. Where they cannot be read nothing has changed.
func (j *living) renewed(l *life) bool {
	v, err := j.s.folder.version(j.name, j.show().version)
	if err != nil {
		return false
	}
	spec, err := j.s.parse(v.File)
	return err == nil && secretSum(spec) != l.secrets
}

// newSecrets begins a job anew that fails and whose secrets were renewed meanwhile.
func (j *living) newSecrets(now time.Time) {
	l := j.lifeNow()
	if l == nil || now.Sub(l.looked) < secretsEvery {
		return
	}
	l.looked = now
	j.mu.Lock()
	fails := j.card.wish.Desired == api.DesiredRunning && !j.card.leaving && j.counts.Failed+j.counts.Retrying > 0
	j.mu.Unlock()
	if !fails || !j.turn.TryLock() {
		return
	}
	defer j.turn.Unlock()
	if l != j.lifeNow() || !j.renewed(l) {
		return
	}
	a := api.Act{Act: api.ActActRetry, Reason: "its secrets have changed"}
	c := command{Do: doRetry, At: now.UTC(), By: byServer, Why: a.Reason}
	if err := j.keepCommand(Who{Name: byServer}, entryOf(j.name, a), c, func(*card) {}); err != nil {
		j.s.o.Log.Error("a job cannot take over its new secrets", "job", j.name, "error", err)
	}
}
