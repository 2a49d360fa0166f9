package cli

import (
	"context"

	"godwit/internal/server"
	"godwit/internal/service"
)

// Service is an opened service: what the server gives a face to.
type Service interface {
	server.Service
	Close(ctx context.Context) error // drains, as service.Service.Close does
}

// OpenService opens a service. It returns before its jobs are taken up.
type OpenService func(ctx context.Context, o service.Options) (Service, error)

func openService(ctx context.Context, o service.Options) (Service, error) {
	s, err := service.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}
