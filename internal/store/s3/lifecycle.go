package s3

import (
	"context"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"godwit/internal/store"
)

var _ store.Aborter = (*Store)(nil)

// AbortRules implements store.Aborter.
func (s *Store) AbortRules(ctx context.Context) ([]store.AbortRule, error) {
	var found *lifecycle.Configuration
	err := s.call(ctx, act{what: actRules}, s.limits.stall, func(t try) (err error) {
		found, err = s.api.GetBucketLifecycle(t.ctx, s.at.bucket)
		if minio.ToErrorResponse(err).Code == "NoSuchLifecycleConfiguration" {
			found, err = &lifecycle.Configuration{}, nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var rules []store.AbortRule
	for _, r := range found.Rules {
		days, prefix := int(r.AbortIncompleteMultipartUpload.DaysAfterInitiation), rulePrefix(r)
		if r.Status == "Enabled" && days > 0 && (strings.HasPrefix(prefix, s.at.prefix) || strings.HasPrefix(s.at.prefix, prefix)) {
			rules = append(rules, store.AbortRule{Name: r.ID, Prefix: prefix, Days: days})
		}
	}
	return rules, nil
}

// rulePrefix is what keys begin with that a rule is about. It stands in one of three
// places: alone in a filter, beside tags in one, or, in older rules, in the rule.
func rulePrefix(r lifecycle.Rule) string {
	return first(r.RuleFilter.Prefix, r.RuleFilter.And.Prefix, r.Prefix)
}
