package server

import (
	"context"

	"godwit/internal/api"
	"godwit/internal/service"
	"godwit/internal/watch"
)

// Service is what is served; *service.Service is one. It is safe for concurrent use,
// and its errors are fault.Errors.
type Service interface {
	jobs
	files
	templates
	acts
	watching
	access
}

type jobs interface {
	Submit(ctx context.Context, who service.Who, key string, in api.Submission) (api.Job, error)
	List(ctx context.Context, q api.ListJobsParams) (api.JobPage, error)
	Show(ctx context.Context, name string) (api.Job, error)
	Tasks(ctx context.Context, name string, q api.ListTasksParams) (api.TaskPage, error)
	Tables(ctx context.Context, name string, q api.ListTablesParams) (api.TablePage, error)
	Positions(ctx context.Context, name string) (watch.PositionReport, error)
	DeadLetters(ctx context.Context, name string, q api.ListDeadLettersParams) (watch.LetterReport, error)
}

type files interface {
	Check(ctx context.Context, d api.Draft) (api.CheckResult, error)
	Plan(ctx context.Context, d api.Draft) (api.PlanResult, error)
	Edit(ctx context.Context, who service.Who, name string, e api.EditRequest) (api.EditResult, error)
	Versions(ctx context.Context, name string) ([]api.Version, error)
	Version(ctx context.Context, name string, version int64) (api.Version, error)
}

type templates interface {
	SubmitTemplate(ctx context.Context, who service.Who, in api.TemplateSubmission) (api.Template, error)
	Templates(ctx context.Context) ([]api.Template, error)
	ShowTemplate(ctx context.Context, name string) (api.Template, error)
	EditTemplate(ctx context.Context, who service.Who, name string, e api.TemplateEdit) (api.TemplateResult, error)
	MakeJobs(ctx context.Context, who service.Who, name string, in api.TemplateJobs) (api.TemplateResult, error)
	DeleteTemplate(ctx context.Context, who service.Who, name, reason string) error
	TemplateVersions(ctx context.Context, name string) ([]api.Version, error)
	TemplateVersion(ctx context.Context, name string, version int64) (api.Version, error)
}

type acts interface {
	Act(ctx context.Context, who service.Who, name string, a api.Act) (api.Job, error)
	ActOnAll(ctx context.Context, who service.Who, a api.BulkAct) (api.BulkResult, error)
	Delete(ctx context.Context, who service.Who, name, reason string) error
	ResetPositions(ctx context.Context, who service.Who, name, confirm, reason string) error
	StartVerification(ctx context.Context, who service.Who, name, reason string) (api.Verification, error)
	CancelVerification(ctx context.Context, who service.Who, name, reason string) error
	Silence(ctx context.Context, who service.Who, id string, in api.Silence) (api.Alarm, error)
}

type watching interface {
	Overview(ctx context.Context) (api.Overview, error)
	Verifications(ctx context.Context, name string) (api.Verifications, error)
	History(ctx context.Context, name string, q api.HistoryParams) (api.History, error)
	Audit(ctx context.Context, q api.AuditParams) (api.AuditPage, error)
	Alarms(ctx context.Context, q api.ListAlarmsParams) ([]api.Alarm, error)
	Follow(ctx context.Context, after uint64, job string, each func(service.Happening) error) error
	Note(ctx context.Context, e api.Entry)
}

type access interface {
	CreateToken(ctx context.Context, who service.Who, in api.TokenRequest) (api.NewToken, error)
	Tokens(ctx context.Context) ([]api.Token, error)
	RevokeToken(ctx context.Context, who service.Who, name string) error
	Bearer(ctx context.Context, text string) (api.Token, error)
}

var _ Service = (*service.Service)(nil)
