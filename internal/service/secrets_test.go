package service

import (
	"context"
	"testing"
	"time"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/job"
)

// refused is work that a source refuses as long as the job has an old password.
func refused(spec func() *job.Spec) *script {
	return &script{find: func(context.Context) error {
		if spec().Source.Values.Secret("password").Reveal() == canary {
			return fault.New(fault.SourceAuth, "the password is wrong")
		}
		return nil
	}}
}

func theLast(w *world, name string) func() *job.Spec {
	return func() *job.Spec { l := w.engine.lived(name); return l[len(l)-1] }
}

// A password that was wrong and is mended where the job file refers to it is taken by
// itself, and at once when somebody asks.
func TestLife_when_a_secret_is_renewed(t *testing.T) {
	for _, how := range []string{"by itself", "retry", "edit"} {
		t.Run(how, func(t *testing.T) {
			scheduled(t, func(t *testing.T, w *world) {
				w.engine.set("shop", refused(theLast(w, "shop")))
				w.submit(tableFile("shop"))
				w.stands("shop", api.StatusFailed)
				pass(t, 3*secretsEvery)
				if n := len(w.engine.lived("shop")); n != 1 {
					t.Errorf("it began %d times with the same password", n)
				}
				w.secret("SECRET", "anotherOne8")
				switch how {
				case "retry":
					w.act("shop", api.ActActRetry)
				case "edit":
					out, err := w.Edit(t.Context(), ana, "shop", api.EditRequest{Version: 1, File: "# mended\n" + tableFile("shop")})
					if err != nil || len(out.Changes) != 1 || out.Changes[0].Field != "secrets" || out.Changes[0].Does != api.ChangeDoesRestarts {
						t.Fatalf("%+v, %v", out, err)
					}
				default:
					pass(t, secretsEvery+2*time.Second)
				}
				w.stands("shop", api.StatusFinished)
				if n := len(w.engine.lived("shop")); n != 2 {
					t.Errorf("it lived %d times", n)
				}
			})
		})
	}
}
