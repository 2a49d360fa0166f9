package s3

import (
	"maps"
	"slices"
	"strings"
)

// preset is what is known of a service that speaks S3.
type preset struct {
	// endpoint is the URL of the service, with {region} for the region; empty: it
	// must be given.
	endpoint string
	region   string // when none is given; empty: it must be, where endpoint has it
	signed   string // the region requests are signed for, when it is always the same
	style    string // "path" or "virtual"
	single   bool   // it has no request that deletes many objects
}

// presets are the services by name. Only minio is tested on the service itself;
// of the others the requests are checked, as docs/stores.md says.
var presets = map[string]preset{
	"aws":   {endpoint: "https://s3.{region}.amazonaws.com", style: "virtual"},
	"minio": {region: "us-east-1", style: "path"},
	"oss":   {endpoint: "https://oss-{region}.aliyuncs.com", style: "virtual"},
	"cos":   {endpoint: "https://cos.{region}.myqcloud.com", style: "virtual"},
	"kodo":  {endpoint: "https://s3.{region}.qiniucs.com", style: "virtual"},
	"bos":   {endpoint: "https://s3.{region}.bcebos.com", style: "virtual"},
	"ks3":   {endpoint: "https://ks3-{region}.ksyuncs.com", style: "virtual"},
	"upyun": {endpoint: "https://s3.api.upyun.com", region: "us-east-1", style: "path", single: true},
	"obs":   {endpoint: "https://obs.{region}.myhuaweicloud.com", style: "virtual"},
	"r2":    {signed: "auto", style: "path"},
}

// presetNames are the names for people, the most usual first.
func presetNames() []string {
	names := slices.Sorted(maps.Keys(presets))
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(rank(a), rank(b)) })
	return names
}

func rank(name string) string {
	switch name {
	case "aws":
		return "0"
	case "minio":
		return "1"
	}
	return "2" + name
}
