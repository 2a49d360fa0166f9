package s3

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"gopkg.in/ini.v1"
)

// The two files of the AWS command line: in "credentials" a profile is a section of
// its name, in "config" the section is [profile NAME], but for [default]. Both may
// have any setting; the first counts before the second.
// https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html

const defaultProfile = "default"

// sharedFiles returns where the two files are; without a home there may be none.
func (w wanted) sharedFiles() (keys, config string) {
	keys, config = variable(w.getenv, "AWS_SHARED_CREDENTIALS_FILE"), variable(w.getenv, "AWS_CONFIG_FILE")
	if home := variable(w.getenv, "HOME"); home != "" {
		keys = first(keys, filepath.Join(home, ".aws", "credentials"))
		config = first(config, filepath.Join(home, ".aws", "config"))
	}
	return keys, config
}

func (w wanted) profileName() string {
	return first(w.profile, variable(w.getenv, "AWS_PROFILE"), defaultProfile)
}

func configSection(profile string) string {
	if profile == defaultProfile {
		return profile
	}
	return "profile " + profile
}

// shared is the profile that is asked for. The files are read when keys are needed.
func (w wanted) shared() provider {
	keys, config := w.sharedFiles()
	name := w.profileName()
	return provider{&shared{w: w, profile: name}, fmt.Sprintf("the profile %s in %s or %s", name, first(keys, "~/.aws/credentials"), first(config, "~/.aws/config")), false}
}

// shared gives the keys of a profile.
type shared struct {
	w       wanted
	profile string
	now     credentials.Provider
}

// RetrieveWithCredContext implements credentials.Provider.
func (p *shared) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	if p.now == nil {
		from, err := p.w.ofProfile(p.profile, nil)
		if err != nil {
			return credentials.Value{}, err
		}
		p.now = from
	}
	v, err := p.now.RetrieveWithCredContext(cc)
	if err != nil {
		p.now = nil // the files may be mended
	}
	return v, err
}

// Retrieve implements credentials.Provider.
func (p *shared) Retrieve() (credentials.Value, error) { return p.RetrieveWithCredContext(alone()) }

// IsExpired implements credentials.Provider.
func (p *shared) IsExpired() bool { return p.now == nil || p.now.IsExpired() }

// ofProfile returns what gives the keys of a profile: the role it names, else its own
// keys. above are the profiles that took it as their source.
func (w wanted) ofProfile(name string, above []string) (credentials.Provider, error) {
	if slices.Contains(above, name) {
		return nil, fmt.Errorf("source_profile goes in a circle: %s", strings.Join(append(above, name), " → "))
	}
	keys, config := w.sharedFiles()
	s, err := w.readProfile(name)
	if err != nil {
		return nil, err
	}
	if role := s.of("role_arn"); role != "" {
		return w.roleOf(name, role, s, above)
	}
	switch {
	case s.keys != nil && s.config != nil && s.keys.HasKey("aws_access_key_id"), s.config == nil:
		return &fileKeys{&credentials.FileAWSCredentials{Filename: keys, Profile: name, Expiry: w.expiry()}}, nil
	case s.keys != nil && s.keys.HasKey("credential_process"):
		return &fileKeys{&credentials.FileAWSCredentials{Filename: keys, Profile: name, Expiry: w.expiry()}}, nil
	}
	return &fileKeys{&credentials.FileAWSCredentials{Filename: config, Profile: configSection(name), Expiry: w.expiry()}}, nil
}

// roleOf assumes a profile's role with what it names as the source.
func (w wanted) roleOf(name, role string, s sections, above []string) (credentials.Provider, error) {
	under := w
	under.role, under.external = role, s.of("external_id")
	under.session = s.of("role_session_name")
	var base credentials.Provider
	var from string
	switch source := s.of("source_profile"); {
	case source == name: // its own keys
		keys, _ := w.sharedFiles()
		base, from = &fileKeys{&credentials.FileAWSCredentials{Filename: keys, Profile: name, Expiry: w.expiry()}}, "the profile "+source
	case source != "":
		p, err := w.ofProfile(source, append(above, name))
		if err != nil {
			return nil, err
		}
		base, from = p, "the profile "+source
	case s.of("web_identity_token_file") != "":
		b := under.web(role).Provider.(*bearer)
		b.file, b.session = s.of("web_identity_token_file"), first(under.session, b.session)
		return b, nil
	default:
		p, err := w.sourceOf(name, s.of("credential_source"))
		if err != nil {
			return nil, err
		}
		base, from = p.Provider, p.name
	}
	return &assumed{Expiry: w.expiry(), base: base, w: under, source: from}, nil
}

func (w wanted) sourceOf(profile, source string) (provider, error) {
	switch source {
	case "Environment":
		return w.env(), nil
	case "Ec2InstanceMetadata", "EcsContainer":
		return w.instance(), nil
	case "":
		return provider{}, fmt.Errorf("the profile %s has a role_arn, and neither source_profile, credential_source nor web_identity_token_file", profile)
	}
	return provider{}, fmt.Errorf("the profile %s has the credential_source %s; known are Environment, Ec2InstanceMetadata and EcsContainer", profile, show(source))
}

// sections are what the two files have of a profile; nil: nothing.
type sections struct{ keys, config *ini.Section }

// of returns a setting.
func (s sections) of(key string) string {
	for _, at := range []*ini.Section{s.keys, s.config} {
		if at != nil && at.HasKey(key) {
			return at.Key(key).String()
		}
	}
	return ""
}

// readProfile reads a profile, which must be in one of the files.
func (w wanted) readProfile(name string) (sections, error) {
	keys, config := w.sharedFiles()
	var s sections
	var err, configErr error
	s.keys, err = section(keys, name)
	s.config, configErr = section(config, configSection(name))
	switch {
	case s.keys != nil || s.config != nil:
		return s, errors.Join(unread(err), unread(configErr))
	case errors.Is(configErr, fs.ErrNotExist):
		return s, err
	case errors.Is(err, fs.ErrNotExist):
		return s, configErr
	}
	return s, errors.Join(err, configErr)
}

// unread lets that a file is not there pass, when the other has the profile.
func unread(err error) error {
	var missing sectionError
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &missing) {
		return nil
	}
	return err
}

// sectionError says that a file does not have a profile.
type sectionError string

func (n sectionError) Error() string { return fmt.Sprintf("section %q does not exist", string(n)) }

var errNoFile = fmt.Errorf("HOME is not set: %w", syscall.ENOENT)

func section(file, name string) (*ini.Section, error) {
	if file == "" {
		return nil, errNoFile
	}
	all, err := ini.Load(file)
	if err != nil {
		return nil, withoutLines(err)
	}
	if !all.HasSection(name) {
		return nil, sectionError(name)
	}
	return all.Section(name), nil
}

// fileKeys reads the keys of one profile in one file.
type fileKeys struct {
	*credentials.FileAWSCredentials
}

// RetrieveWithCredContext implements credentials.Provider.
func (p *fileKeys) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	v, err := p.FileAWSCredentials.RetrieveWithCredContext(cc)
	return v, withoutLines(err)
}

// withoutLines hides what a reader of files quotes of a line that it does not
// understand: it may be a secret.
func withoutLines(err error) error {
	if err == nil || telling(err) {
		return err
	}
	return errors.New("the file is not of its form: lines are [profile], name = value, or begin with #")
}

// telling reports whether an error about a file does not quote it.
func telling(err error) bool {
	var exit *exec.ExitError
	var start *exec.Error
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.As(err, &exit) || errors.As(err, &start) {
		return true
	}
	for _, begin := range []string{"section ", "profile ", "invalid credential process", "cached SSO", "reading cached SSO", "fetching SSO", "unable to determine AWS SSO"} {
		if strings.HasPrefix(err.Error(), begin) {
			return true
		}
	}
	return false
}

// configured returns a setting of the profile that is asked for, where neither job file
// nor environment say it; empty: there is none, or the files cannot be read, which is
// said when keys are needed.
func (w wanted) configured(key string) string {
	s, err := w.readProfile(w.profileName())
	if err != nil {
		return ""
	}
	return s.of(key)
}
