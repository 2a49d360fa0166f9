package server

import (
	"context"

	"godwit/internal/api"
	"godwit/internal/fault"
	"godwit/internal/service"
)

// template is the one that the fake has: shop, with a job of its name.
func (f *fake) template(name string) (api.Template, error) {
	if name != "shop" {
		return api.Template{}, fault.New(fault.NoTemplate, "there is no template %s", name)
	}
	return api.Template{Name: name, Version: 1, Created: anyTime, Updated: anyTime, Jobs: 1, Parameters: []api.Parameter{{Name: "a", Required: true}}}, nil
}

func (f *fake) templateCall(ctx context.Context, call, name string) (api.Template, error) {
	err := f.enter(ctx, call)
	defer f.mu.Unlock()
	if err != nil {
		return api.Template{}, err
	}
	return f.template(name)
}

func (f *fake) SubmitTemplate(ctx context.Context, w service.Who, in api.TemplateSubmission) (api.Template, error) {
	err := f.enter(ctx, "SubmitTemplate")
	defer f.mu.Unlock()
	if err != nil {
		return api.Template{}, err
	}
	name, err := fileName(in.File)
	if err != nil {
		return api.Template{}, err
	}
	if _, err := f.template(name); err == nil {
		return api.Template{}, fault.New(fault.NameTaken, "a template %s is here already", name)
	}
	f.note(w, "", "submit template")
	return api.Template{Name: name, Version: 1, Created: anyTime, Updated: anyTime}, nil
}

func (f *fake) Templates(ctx context.Context) ([]api.Template, error) {
	t, err := f.templateCall(ctx, "Templates", "shop")
	return []api.Template{t}, err
}

func (f *fake) ShowTemplate(ctx context.Context, name string) (api.Template, error) {
	return f.templateCall(ctx, "ShowTemplate", name)
}

func (f *fake) EditTemplate(ctx context.Context, _ service.Who, name string, e api.TemplateEdit) (api.TemplateResult, error) {
	t, err := f.templateCall(ctx, "EditTemplate", name)
	if err == nil && e.Version != t.Version {
		err = fault.New(fault.VersionChanged, "version %d is the newest, not %d", t.Version, e.Version)
	}
	return api.TemplateResult{Version: 2, Done: 1, Results: []api.TemplateItem{{Name: "shop", Outcome: api.TemplateItemOutcomeDone}}}, err
}

func (f *fake) MakeJobs(ctx context.Context, _ service.Who, name string, in api.TemplateJobs) (api.TemplateResult, error) {
	_, err := f.templateCall(ctx, "MakeJobs", name)
	return api.TemplateResult{Version: 1, Failed: len(in.Values)}, err
}

func (f *fake) DeleteTemplate(ctx context.Context, _ service.Who, name, _ string) error {
	if _, err := f.templateCall(ctx, "DeleteTemplate", name); err != nil {
		return err
	}
	return fault.New(fault.NotNow, "a job is made from %s", name)
}

func (f *fake) TemplateVersions(ctx context.Context, name string) ([]api.Version, error) {
	_, err := f.templateCall(ctx, "TemplateVersions", name)
	return nil, err
}

func (f *fake) TemplateVersion(ctx context.Context, name string, version int64) (api.Version, error) {
	_, err := f.templateCall(ctx, "TemplateVersion", name)
	if err == nil && version > 1 {
		err = fault.New(fault.BadRequest, "template %s has no version %d", name, version)
	}
	return api.Version{Version: version, At: anyTime}, err
}
