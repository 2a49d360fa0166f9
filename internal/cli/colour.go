package cli

import "os"

// plainCode ends all colours.
const plainCode = "\x1b[0m"

// colours paint words; off, they leave them. A colour never stands alone: the
// word says the same.
type colours struct{ on bool }

func (c colours) paint(code, s string) string {
	if !c.on || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + plainCode
}

func (c colours) red(s string) string    { return c.paint("31", s) } // failed
func (c colours) yellow(s string) string { return c.paint("33", s) } // needs care
func (c colours) green(s string) string  { return c.paint("32", s) } // done
func (c colours) bold(s string) string   { return c.paint("1", s) }  // names

// colourOn decides for one stream: what the flag says, then the environment,
// then whether it is a terminal.
func colourOn(flag string, env func(string) string, isTerminal bool) bool {
	switch {
	case flag == "always":
		return true
	case flag == "never" || env("NO_COLOR") != "":
		return false
	case env("CLICOLOR_FORCE") != "" && env("CLICOLOR_FORCE") != "0":
		return true
	}
	return isTerminal && env("TERM") != "dumb"
}

// file returns the file behind a stream, nil when there is none.
func file(stream any) *os.File {
	f, _ := stream.(*os.File)
	return f
}
